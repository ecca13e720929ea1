//! The command line that all programs of the guides have, and where they write.

use std::cell::Cell;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command, value_parser};
use spectra_examples::pictures::{Curve, Panel, curves};
use spectra_examples::{Failure, Folder, report};

use crate::Run;

/// A program of the guides: its name, what it does, and how many steps it takes unless told otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// The example's name.
    pub name: &'static str,
    /// A line for `--help`.
    pub about: &'static str,
    /// Without `--steps`.
    pub steps: usize,
    /// Whether there is a `--resume`.
    pub resumes: bool,
}

/// A program that has begun.
pub struct Guide {
    /// How many steps to take.
    pub steps: usize,
    /// Whether to go on from a checkpoint.
    pub resume: bool,
    folder: Folder,
    wrote: Cell<bool>,
}

impl Program {
    /// Reads the command line, takes the output folder and runs `run`; an error is one line on stderr and an exit code.
    pub fn main(self, run: impl FnOnce(&Guide) -> Result<(), Box<dyn Error>>) -> ExitCode {
        report(|| self.begin().and_then(|guide| run(&guide).map_err(failure)))
    }

    fn begin(self) -> Result<Guide, Failure> {
        let steps_help = format!("How many steps to take [default: {}]", self.steps);
        let folder = format!("out/guides/{}", self.name);
        let out_help = format!("Where to write [default: {folder}]");
        let steps = Arg::new("steps").long("steps").value_name("N").help(steps_help);
        let out = Arg::new("out").long("out").value_name("FOLDER").help(out_help);
        let resume = Arg::new("resume").long("resume").help("Go on from the checkpoint in the folder");
        let matches = Command::new(self.name)
            .about(self.about)
            .arg(steps.value_parser(value_parser!(u32).range(1..)))
            .arg(out.value_parser(value_parser!(PathBuf)))
            .arg(resume.action(ArgAction::SetTrue).hide(!self.resumes))
            .get_matches();
        let resume = matches.get_flag("resume");
        if resume && !self.resumes {
            return Err(Failure::input(format!("{} has no checkpoint to --resume from", self.name)));
        }
        let steps = matches.get_one::<u32>("steps").map_or(self.steps, |steps| *steps as usize);
        let out = matches.get_one::<PathBuf>("out").cloned().unwrap_or_else(|| PathBuf::from(folder));
        Ok(Guide { steps, resume, folder: Folder::take(&out)?, wrote: Cell::new(false) })
    }
}

fn failure(error: Box<dyn Error>) -> Failure {
    error.downcast::<Failure>().map_or_else(Failure::run, |failure| *failure)
}

impl Guide {
    /// Begins a run of all steps under this name: a progress bar and a curve.
    pub fn run(&self, name: &str) -> Run {
        Run::begin(name, self.steps, 0)
    }

    /// The path of a file in the output folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in one step, so that a kill leaves the old one or the new one, and says where.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, name: &str, contents: &[u8]) -> Result<(), Failure> {
        self.folder.write(name, contents)?;
        println!("{}wrote {}", if self.wrote.replace(true) { "" } else { "\n" }, self.path(name).display());
        Ok(())
    }

    /// Draws panels of curves side by side, as `NAME.png`.
    ///
    /// # Errors
    /// Those of drawing, and of the file system.
    pub fn picture(&self, name: &str, panels: &[Panel]) -> Result<(), Failure> {
        self.write(name, &curves(panels, panels.len())?)
    }
}

/// A panel of losses over steps, logarithmic where they fall by more than a decade.
pub fn losses(title: &str, runs: Vec<Curve>) -> Panel {
    let values =
        || runs.iter().flat_map(|(_, points)| points).map(|point| point.1).filter(|loss| *loss > 0.0);
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    Panel { title: title.into(), across: "steps", up: "loss", logarithmic: most > 10.0 * least, curves: runs }
}
