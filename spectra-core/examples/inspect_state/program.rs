//! From arguments to what is printed, and the exit code.

use spectra_core::optimizer::diagnosis::{Diagnoses, Severity};
use std::fmt::Write;

const USAGE: &str = "usage: inspect_state FILE...

Looks at optimizer states as `save` of spectra-core, spectra-candle, spectra-burn (save_safetensors)
and spectra-cuda wrote them: of each block rule, shape, steps, size of the momentum, dead rows,
stale subspace, damaged buffers.

Exit code: 0, nothing is damaged; 1, a file cannot be read, is no state, or is damaged; 2, wrong use.";

/// What goes to standard output and to standard error, and the exit code.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: u8,
}

/// The program on these arguments.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let (mut out, mut err) = (String::new(), String::new());
    if arguments.iter().any(|argument| argument == "-h" || argument == "--help") {
        return Outcome { out: format!("{USAGE}\n"), err, code: 0 };
    }
    let option = arguments.iter().find(|argument| argument.starts_with('-'));
    if arguments.is_empty() || option.is_some() {
        let unknown = option.map_or(String::new(), |option| format!("unknown option {option}\n"));
        return Outcome { out, err: format!("{unknown}{USAGE}\n"), code: 2 };
    }
    let mut code = 0;
    for path in arguments {
        match Diagnoses::of_file(path) {
            Ok(seen) => {
                // Writing to a String cannot fail.
                let _ = writeln!(out, "{path}\n\n{seen}\n");
                if seen.worst() == Some(Severity::Error) {
                    code = 1;
                }
            }
            Err(error) => {
                let said = error.to_string();
                let named = if said.contains(path.as_str()) { said } else { format!("{path}: {said}") };
                let _ = writeln!(err, "{named}");
                code = 1;
            }
        }
    }
    Outcome { out, err, code }
}
