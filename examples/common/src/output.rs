//! The output folder: what lies in it, whose it is, and whether it may be replaced.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::checkpoints::Checkpoints;
use crate::files::{make_writable, write_whole};
use crate::{Failure, Settings};

const RUN: &str = "run.json";
/// Files a comparison or a sweep writes beside [`RUN`].
const RESULTS: &[&str] = &[
    "metrics.csv",
    "table.txt",
    "sample.txt",
    "loss.png",
    "spectrum.png",
    "weights.png",
    "sweep.csv",
    "sweep.txt",
];

/// What may be done with results that are already in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Those of the same runs are written again, others are left alone.
    Keep,
    /// Those of the same runs are gone on from.
    Resume,
    /// All may be replaced.
    Replace,
}

/// The output folder of a run that may write there.
pub struct Output {
    folder: PathBuf,
}

impl Output {
    /// Takes possession of a folder for runs with these settings, or refuses and leaves it as it is.
    ///
    /// Under [`Existing::Resume`] there may be more runs than the folder has, but none less.
    pub fn open(folder: PathBuf, existing: Existing, runs: &[Settings]) -> Result<Self, Failure> {
        let output = Self { folder };
        if existing != Existing::Replace {
            output.check(runs, existing == Existing::Resume)?;
        }
        make_writable(&output.folder)?;
        for settings in runs {
            let checkpoints = output.checkpoints(&settings.optimizer);
            match existing {
                Existing::Resume => checkpoints.clear_unfinished()?,
                Existing::Keep | Existing::Replace => checkpoints.clear()?,
            }
        }
        let by_name: BTreeMap<_, _> = runs.iter().map(|settings| (&settings.optimizer, settings)).collect();
        let json = serde_json::to_string_pretty(&by_name).map_err(Failure::run)?;
        output.write(RUN, json.as_bytes())?;
        Ok(output)
    }

    /// Replaces one of the folder's files in one step.
    pub fn write(&self, name: &str, contents: &[u8]) -> Result<(), Failure> {
        write_whole(&self.folder.join(name), contents)
    }

    /// The checkpoints of an optimizer.
    pub fn checkpoints(&self, optimizer: &str) -> Checkpoints {
        Checkpoints::new(self.folder.join(optimizer))
    }

    fn check(&self, runs: &[Settings], resume: bool) -> Result<(), Failure> {
        let held = |what: String| {
            Failure::input(format!(
                "{} holds {what}: pass another --out, or --overwrite to replace it",
                self.folder.display()
            ))
        };
        let Ok(json) = fs::read(self.folder.join(RUN)) else {
            return match RESULTS.iter().find(|name| self.folder.join(name).exists()) {
                Some(name) => Err(held(format!("a {name} that no run of this program wrote"))),
                None => Ok(()),
            };
        };
        let there: BTreeMap<String, Settings> = serde_json::from_slice(&json)
            .map_err(|error| held(format!("a {RUN} that cannot be read ({error})")))?;
        for (name, old) in &there {
            let Some(new) = runs.iter().find(|settings| settings.optimizer == *name) else {
                return Err(held(format!("a run with --optimizer {name}, which this one leaves out")));
            };
            if let Some(difference) = old.difference(new) {
                return Err(held(format!("another run ({difference})")));
            }
        }
        match runs.iter().find(|settings| !there.contains_key(&settings.optimizer)) {
            Some(new) if !resume => {
                Err(held(format!("a run without --optimizer {} (--resume adds it)", new.optimizer)))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::settings;

    fn open(folder: &std::path::Path, existing: Existing, runs: &[Settings]) -> Result<Output, Failure> {
        Output::open(folder.into(), existing, runs)
    }

    #[test]
    fn another_runs_results_stay() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let out = folder.path().join("a/b");
        let other = Settings { steps: 30, ..settings() };
        let second = Settings { optimizer: "spectra".into(), ..settings() };
        assert!(open(&out, Existing::Keep, &[settings()]).is_ok());
        assert!(open(&out, Existing::Keep, &[settings()]).is_ok(), "the same run again");
        assert!(open(&out, Existing::Keep, std::slice::from_ref(&other)).is_err(), "other settings");
        assert!(
            open(&out, Existing::Resume, std::slice::from_ref(&other)).is_err(),
            "resumed with other settings"
        );
        assert!(open(&out, Existing::Keep, &[settings(), second.clone()]).is_err(), "one more");
        assert!(open(&out, Existing::Resume, &[settings(), second]).is_ok(), "one more, resumed");
        assert!(open(&out, Existing::Resume, &[settings()]).is_err(), "one less");
        assert!(open(&out, Existing::Replace, &[other]).is_ok());
    }

    #[test]
    fn strange_files_stay() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("loss.png"), b"a holiday picture").expect("write");
        assert!(matches!(open(folder.path(), Existing::Keep, &[settings()]), Err(Failure::Input(_))));
        fs::write(folder.path().join(RUN), b"{").expect("write");
        assert!(matches!(open(folder.path(), Existing::Keep, &[settings()]), Err(Failure::Input(_))));
    }
}
