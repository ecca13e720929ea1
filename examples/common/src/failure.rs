//! Why a run stops: one line for the reader and an exit code for the shell.

use std::fmt;
use std::process::ExitCode;

/// The reason a run cannot start or go on. Its text is one line that says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The command line, the text or the output folder is at fault: exit code 2, nothing written.
    Input(String),
    /// The run itself failed after a good start (a full disk, a loss that is no number): exit code 1.
    Run(String),
    /// The loss or the gradient is no number any more: exit code 1.
    Diverged(String),
}

impl Failure {
    /// A fault of what the user passed.
    pub fn input(message: impl fmt::Display) -> Self {
        Self::Input(one_line(message))
    }

    /// A fault met while running.
    pub fn run(message: impl fmt::Display) -> Self {
        Self::Run(one_line(message))
    }

    /// The end of a run whose loss or gradient is no number.
    pub fn diverged(message: impl fmt::Display) -> Self {
        Self::Diverged(one_line(message))
    }

    /// 2 for bad input, 1 otherwise.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Input(_) => ExitCode::from(2),
            Self::Run(_) | Self::Diverged(_) => ExitCode::from(1),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(message) | Self::Run(message) | Self::Diverged(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Failure {}

/// Every `main`: runs the program, prints the failure, if any, on stderr and turns it into an exit code. A reader who closes the pipe
/// (`| head`) ends the program as he ends others, without a panic.
pub fn report(program: impl FnOnce() -> Result<(), Failure>) -> ExitCode {
    sigpipe::reset();
    match program() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit_code()
        }
    }
}

/// The message without the backtrace that some libraries' errors end with under `RUST_BACKTRACE=1`.
fn one_line(message: impl fmt::Display) -> String {
    let text = message.to_string();
    let lines = text.lines().enumerate().take_while(|(at, line)| *at == 0 || !is_frame(line));
    lines.flat_map(|(_, line)| line.split_whitespace()).collect::<Vec<_>>().join(" ")
}

/// `  12: candle_core::error::Error::bt`
fn is_frame(line: &str) -> bool {
    let number = line.trim_start().split_once(": ").map(|(number, _)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_line() {
        assert_eq!(Failure::input("a\n  b\tc").to_string(), "a b c");
    }

    #[test]
    fn a_backtrace_is_no_part_of_a_message() {
        // Whatever RUST_BACKTRACE says.
        let backtrace = std::backtrace::Backtrace::force_capture();
        let text = format!("no tensor\nnamed x\n{backtrace}");
        assert!(text.lines().count() > 5);
        assert_eq!(Failure::run(text).to_string(), "no tensor named x");
        assert_eq!(Failure::run("3: three").to_string(), "3: three");
    }
}
