//! Looks into saved optimizer states: `cargo run --release -p spectra-core --features safetensors --example inspect_state -- FILE...`

mod program;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    let program::Outcome { out, err, code } = program::run(&arguments);
    print!("{out}");
    eprint!("{err}");
    ExitCode::from(code)
}
