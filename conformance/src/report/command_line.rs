//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;

use super::Candidate;
use crate::Precision;

/// Runs the conformance suite on backends and shows how exact each is.
///
/// Every number is the worst error of a check as a share of its tolerance: 100 % would just pass.
#[derive(Parser, Debug)]
#[command(version, max_term_width = 110)]
pub(super) struct CommandLine {
    /// Backends to check, separated by commas [default: all that this program has]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(super) backend: Vec<String>,

    /// Element types to check, separated by commas [default: all]
    #[arg(long, value_name = "TYPE", value_delimiter = ',', value_parser = element)]
    pub(super) element: Vec<Precision>,

    /// Only checks whose group or name contains one of these texts, separated by commas; the others are left out
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    pub(super) only: Vec<String>,

    /// Write a page with a heat map, and each check's error against condition number and size
    #[arg(long, value_name = "FILE.html")]
    pub(super) report: Option<PathBuf>,

    /// Write every outcome and measurement
    #[arg(long, value_name = "FILE.json")]
    pub(super) json: Option<PathBuf>,

    /// Print one line for each group of checks instead of one for each check
    #[arg(long)]
    pub(super) by_group: bool,
}

fn element(text: &str) -> Result<Precision, String> {
    let found = Precision::ALL.into_iter().find(|precision| precision.to_string() == text);
    found.ok_or_else(|| "it is f32 or f64".to_owned())
}

impl CommandLine {
    pub(super) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::try_parse_from(arguments)
    }

    /// The candidates asked for, in the order of the command line.
    pub(super) fn choose<'a>(
        &self,
        candidates: &'a [Candidate],
        elsewhere: &[(&str, &str)],
    ) -> Result<Vec<&'a Candidate>, String> {
        let wants =
            |candidate: &Candidate| self.element.is_empty() || self.element.contains(&candidate.element());
        let mut chosen: Vec<&Candidate> = Vec::new();
        for name in &self.backend {
            let named = || candidates.iter().filter(|candidate| candidate.backend() == name);
            if named().next().is_none() {
                return Err(match elsewhere.iter().find(|(absent, _)| absent == name) {
                    Some((_, remedy)) => format!("--backend {name}: {remedy}"),
                    None => format!("--backend {name}: there are {}", names(candidates, elsewhere)),
                });
            }
            let again = chosen.iter().any(|candidate| candidate.backend() == name);
            chosen.extend(named().filter(|candidate| !again && wants(candidate)));
        }
        if self.backend.is_empty() {
            chosen.extend(candidates.iter().filter(|candidate| wants(candidate)));
        }
        if chosen.is_empty() {
            return Err("--element: none of the backends has it".to_owned());
        }
        let without = |text: &&String| {
            chosen.iter().all(|candidate| candidate.checks(std::slice::from_ref(*text)) == 0)
        };
        if let Some(text) = self.only.iter().find(without) {
            return Err(format!("--only {text}: no check has it in its group or name"));
        }
        Ok(chosen)
    }
}

fn names(candidates: &[Candidate], elsewhere: &[(&str, &str)]) -> String {
    let mut names: Vec<&str> = candidates.iter().map(Candidate::backend).collect();
    names.dedup();
    names.extend(elsewhere.iter().map(|(name, _)| *name));
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use spectra_core::dense::Dense;

    use super::{Candidate, CommandLine};
    use crate::suite::Subject;

    fn chosen(line: &str) -> Result<Vec<String>, String> {
        let candidates = [
            Candidate::new("dense", || Ok(Subject::new(Dense::<f32>::new()))),
            Candidate::new("dense", || Ok(Subject::new(Dense::<f64>::new()))),
            Candidate::new("half", || Ok(Subject::new(Dense::<f32>::new()))),
        ];
        let line = CommandLine::read(line.split(' ').map(Into::into)).map_err(|error| error.to_string())?;
        let chosen = line.choose(&candidates, &[("candle", "add --features candle")])?;
        Ok(chosen.into_iter().map(Candidate::name).collect())
    }

    #[test]
    fn the_definition_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn names_choose_in_their_order_and_once() {
        assert_eq!(chosen("x").unwrap(), ["dense f32", "dense f64", "half f32"]);
        assert_eq!(chosen("x --backend half,dense,half").unwrap(), ["half f32", "dense f32", "dense f64"]);
        assert_eq!(chosen("x --element f64").unwrap(), ["dense f64"]);
    }

    #[test]
    fn what_cannot_be_had_is_said() {
        assert_eq!(chosen("x --backend candle").unwrap_err(), "--backend candle: add --features candle");
        assert_eq!(chosen("x --backend no").unwrap_err(), "--backend no: there are dense, half, candle");
        assert!(chosen("x --backend half --element f64").unwrap_err().starts_with("--element"));
        assert!(chosen("x --element f16").unwrap_err().contains("f32 or f64"));
        assert!(chosen("x --only polar,nothing").unwrap_err().starts_with("--only nothing: "));
        assert_eq!(chosen("x --only polar,gemm --element f64").unwrap(), ["dense f64"]);
    }
}
