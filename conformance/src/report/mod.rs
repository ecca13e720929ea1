//! A program that runs the suite on several backends and shows the outcome: progress, a table, a page, and a file.
//!
//! The package's own program (`cargo run --release -p spectra-conformance -- --help`) is a list of candidates and a call of
//! [`main`]. The author of another backend writes the same few lines:
//!
//! ```no_run
//! use spectra_conformance::report::{Candidate, main as report};
//! use spectra_conformance::suite::Subject;
//! use spectra_core::dense::Dense;
//!
//! fn main() -> std::process::ExitCode {
//!     report(vec![
//!         Candidate::new("mine", || Ok(Subject::new(Dense::<f32>::new()).with_second_handle(Clone::clone).on_threads())),
//!         Candidate::new("mine", || Ok(Subject::new(Dense::<f64>::new()).with_second_handle(Clone::clone).on_threads())),
//!     ], &[])
//! }
//! ```
//!
//! It needs the feature `cli`.

mod candidate;
mod command_line;
mod html;
mod json;
mod outputs;
mod progress;
mod share;
mod table;

use std::process::ExitCode;

use crate::Precision;
use crate::suite::{Report, minimum_executed};
pub use candidate::Candidate;
use command_line::CommandLine;
use outputs::Outputs;
use progress::Progress;

/// One backend in one precision with all its outcomes: a column of every table.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) backend: String,
    pub(crate) element: Precision,
    pub(crate) report: Report,
}

impl Column {
    fn name(&self) -> String {
        format!("{} {}", self.backend, self.element)
    }
}

/// Runs the suite as the command line asks: all of a process' `main`.
///
/// `elsewhere` are backends that this program does not have, each with what has to be done to get it; asking for one
/// is answered with that.
///
/// The exit code is 0 if every check of every backend passed, 1 if one failed, if fewer ran than
/// [`minimum_executed`] asks for, if a backend could not be made or a file not be written, and 2 for a command line that makes
/// no sense or names a file that cannot be written; nothing is run then.
#[must_use]
pub fn main(candidates: Vec<Candidate>, elsewhere: &[(&str, &str)]) -> ExitCode {
    // A closed pipe, as of `| head`, ends the program without a panic.
    sigpipe::reset();
    let line = match CommandLine::read(std::env::args_os()) {
        Ok(line) => line,
        Err(error) => {
            // There is nobody left to tell that telling failed.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let begun = line.choose(&candidates, elsewhere).and_then(|chosen| Ok((chosen, Outputs::of(&line)?)));
    let (chosen, outputs) = match begun {
        Ok(begun) => begun,
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(2);
        }
    };
    match run(&line, &chosen, &outputs) {
        Ok(passed) => ExitCode::from(u8::from(!passed)),
        Err(messages) => {
            messages.iter().for_each(|message| eprintln!("error: {message}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether everything passed; or what kept a backend from running or a file from being written, when all others have run
/// and have been written.
fn run(line: &CommandLine, chosen: &[&Candidate], outputs: &Outputs) -> Result<bool, Vec<String>> {
    let mut errors = Vec::new();
    let mut progress = Progress::start(chosen.iter().map(|candidate| candidate.checks(&line.only)).sum());
    let mut columns = Vec::with_capacity(chosen.len());
    for candidate in chosen {
        progress.begin(&candidate.name());
        match candidate.run(&line.only, &mut |entry| progress.advance(entry)) {
            Ok(report) => {
                let (backend, element) = (candidate.backend().into(), candidate.element());
                columns.push(Column { backend, element, report });
            }
            Err(error) => errors.push(format!("{}: {error}", candidate.name())),
        }
    }
    progress.finish();

    println!("{}", table::shares(&columns, line.by_group));
    for column in &columns {
        println!("{}", verdict(column));
        for (check, failure) in column.report.failures() {
            println!("  {check}: {failure}");
        }
    }
    errors.extend(outputs.write(&columns));
    if errors.is_empty() { Ok(columns.iter().all(|column| column.report.passed())) } else { Err(errors) }
}

/// One line about a column.
fn verdict(column: &Column) -> String {
    let (total, executed) = (column.report.entries.len(), column.report.executed());
    let failed = column.report.failures().count();
    let (passed, skipped) = (executed - failed, total - executed);
    let minimum = minimum_executed(total);
    let too_few = if executed < minimum { ": FAILED, too few" } else { "" };
    format!(
        "{}: {passed} passed, {failed} failed, {skipped} skipped; {executed} of at least {minimum} run{too_few}",
        column.name()
    )
}

#[cfg(test)]
mod tests;
