//! The files that a run writes.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use super::command_line::CommandLine;
use super::{Column, html, json};

/// The files asked for. Each can be opened for writing; what is in them stays until there is something to replace it.
#[derive(Debug)]
pub(super) struct Outputs {
    report: Option<PathBuf>,
    json: Option<PathBuf>,
}

impl Outputs {
    /// The files of a command line.
    ///
    /// # Errors
    /// One that cannot be opened for writing, or the same for both; none is left behind that was not there.
    pub(super) fn of(line: &CommandLine) -> Result<Self, String> {
        let (report, json) = (line.report.clone(), line.json.clone());
        if report.is_some() && report == json {
            return Err("--report and --json name the same file".to_owned());
        }
        for (flag, path) in [("--report", &report), ("--json", &json)] {
            if let Some(path) = path {
                try_to_open(path).map_err(|error| format!("{flag} {}: {error}", path.display()))?;
            }
        }
        Ok(Self { report, json })
    }

    /// Writes what can be written and says what cannot.
    pub(super) fn write(&self, columns: &[Column]) -> Vec<String> {
        let page = self.report.as_ref().map(|path| write(path, Ok(html::page(columns))));
        let json = self.json.as_ref().map(|path| write(path, json::text(columns)));
        [page, json].into_iter().flatten().filter_map(Result::err).collect()
    }
}

fn try_to_open(path: &Path) -> std::io::Result<()> {
    let new = !path.exists();
    OpenOptions::new().append(true).create(true).open(path)?;
    if new { fs::remove_file(path) } else { Ok(()) }
}

fn write(path: &Path, contents: Result<String, String>) -> Result<(), String> {
    let written = contents.and_then(|contents| fs::write(path, contents).map_err(|error| error.to_string()));
    written.map_err(|error| format!("{}: {error}", path.display()))
}
