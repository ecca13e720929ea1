//! The output folder: what lies in it, whose it is, and whether it may be replaced.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::checkpoints::Checkpoints;
use crate::{Failure, Folder, Settings};

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
    /// There must be none.
    Refuse,
    /// Those of the same runs are gone on from.
    Resume,
    /// All may be replaced.
    Replace,
}

/// The output folder of a run, which alone may write there as long as this lives.
pub struct Output(Folder);

impl Output {
    /// Takes possession of a folder for runs with these settings, or refuses and leaves it as it is.
    ///
    /// Under [`Existing::Resume`] there may be more runs than the folder has, but none less.
    pub fn open(folder: &Path, existing: Existing, runs: &[Settings]) -> Result<Self, Failure> {
        // Before anything is made, and again when nobody else can change it.
        check(folder, existing, runs)?;
        let output = Self(Folder::take(folder)?);
        check(folder, existing, runs)?;
        for settings in runs {
            let checkpoints = output.checkpoints(&settings.optimizer);
            match existing {
                Existing::Refuse | Existing::Resume => checkpoints.clear_unfinished()?,
                Existing::Replace => checkpoints.clear()?,
            }
        }
        let by_name: BTreeMap<_, _> = runs.iter().map(|settings| (&settings.optimizer, settings)).collect();
        let json = serde_json::to_string_pretty(&by_name).map_err(Failure::run)?;
        output.write(RUN, json.as_bytes())?;
        Ok(output)
    }

    /// Replaces one of the folder's files in one step.
    pub fn write(&self, name: &str, contents: &[u8]) -> Result<(), Failure> {
        self.0.write(name, contents)
    }

    /// The checkpoints of an optimizer.
    pub fn checkpoints(&self, optimizer: &str) -> Checkpoints {
        Checkpoints::new(self.0.path().join(optimizer))
    }
}

/// Refuses a folder with something that `existing` does not allow for.
fn check(folder: &Path, existing: Existing, runs: &[Settings]) -> Result<(), Failure> {
    let held =
        |what: String, way_out: &str| Failure::input(format!("{} holds {what}: {way_out}", folder.display()));
    let another = |what: String| held(what, "pass another --out, or --overwrite to replace it");
    let result = RESULTS.iter().find(|name| folder.join(name).exists());
    if existing == Existing::Replace {
        return Ok(());
    }
    match there(folder).map_err(another)? {
        None => {
            if let Some(name) = result {
                return Err(another(format!("a {name} that no run of this program wrote")));
            }
        }
        Some(there) => same(&there, runs, existing).map_err(another)?,
    }
    if existing == Existing::Resume {
        return Ok(());
    }
    for settings in runs {
        if let Some(newest) = Checkpoints::new(folder.join(&settings.optimizer)).newest()? {
            let name = newest.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Err(held(
                format!("{}'s checkpoint {name}", settings.optimizer),
                "--resume goes on from there, --overwrite starts again, another --out leaves it alone",
            ));
        }
    }
    result.map_or(Ok(()), |name| Err(another(format!("the {name} of the same run"))))
}

/// The settings of the runs that a folder is of, if it has any; what is wrong with their file.
fn there(folder: &Path) -> Result<Option<BTreeMap<String, Settings>>, String> {
    let Ok(json) = fs::read(folder.join(RUN)) else { return Ok(None) };
    serde_json::from_slice(&json).map(Some).map_err(|error| format!("a {RUN} that cannot be read ({error})"))
}

/// In what the runs differ from those that are there.
fn same(there: &BTreeMap<String, Settings>, runs: &[Settings], existing: Existing) -> Result<(), String> {
    for (name, old) in there {
        let Some(new) = runs.iter().find(|settings| settings.optimizer == *name) else {
            return Err(format!("a run with --optimizer {name}, which this one leaves out"));
        };
        if let Some(difference) = old.difference(new) {
            return Err(format!("another run ({difference})"));
        }
    }
    match runs.iter().find(|settings| !there.contains_key(&settings.optimizer)) {
        Some(new) if existing != Existing::Resume => {
            Err(format!("a run without --optimizer {} (--resume adds it)", new.optimizer))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::settings;

    fn open(folder: &Path, existing: Existing, runs: &[Settings]) -> Result<Output, Failure> {
        Output::open(folder, existing, runs)
    }

    #[test]
    fn another_runs_results_stay() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let out = folder.path().join("a/b");
        let other = Settings { steps: 30, ..settings() };
        let second = Settings { optimizer: "spectra".into(), ..settings() };
        assert!(open(&out, Existing::Refuse, &[settings()]).is_ok());
        assert!(open(&out, Existing::Refuse, &[settings()]).is_ok(), "the same run again");
        assert!(open(&out, Existing::Refuse, std::slice::from_ref(&other)).is_err(), "other settings");
        assert!(
            open(&out, Existing::Resume, std::slice::from_ref(&other)).is_err(),
            "resumed with other settings"
        );
        assert!(open(&out, Existing::Refuse, &[settings(), second.clone()]).is_err(), "one more");
        assert!(open(&out, Existing::Resume, &[settings(), second]).is_ok(), "one more, resumed");
        assert!(open(&out, Existing::Resume, &[settings()]).is_err(), "one less");
        assert!(open(&out, Existing::Replace, &[other]).is_ok());
    }

    /// The same command again after an interrupt must not cost what is there.
    #[test]
    fn the_same_run_again_keeps_its_checkpoints_and_results() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runs = [settings()];
        let checkpoint = folder.path().join("adamw/step-00000005");
        open(folder.path(), Existing::Refuse, &runs).expect("a first run");
        fs::create_dir_all(&checkpoint).expect("a checkpoint");
        for without_list in [false, true] {
            if without_list {
                fs::remove_file(folder.path().join(RUN)).expect("no list of runs");
            }
            let refused =
                open(folder.path(), Existing::Refuse, &runs).err().map(|failure| failure.to_string());
            let line = refused.expect("a refusal");
            for word in ["adamw", "step-00000005", "--resume", "--overwrite"] {
                assert!(line.contains(word), "{line}");
            }
            assert!(checkpoint.exists());
        }
        assert!(open(folder.path(), Existing::Resume, &runs).is_ok() && checkpoint.exists());
        assert!(open(folder.path(), Existing::Replace, &runs).is_ok() && !checkpoint.exists());
        assert!(open(folder.path(), Existing::Refuse, &runs).is_ok(), "nothing is there to lose");
        fs::write(folder.path().join("sweep.csv"), b"hours of work").expect("a result");
        let refused = open(folder.path(), Existing::Refuse, &runs);
        assert!(matches!(refused, Err(Failure::Input(line)) if line.contains("sweep.csv")));
    }

    #[test]
    fn two_processes_do_not_share_a_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let out = folder.path().join("out");
        let first = open(&out, Existing::Refuse, &[settings()]).expect("a first run");
        let checkpoint = out.join("adamw/step-00000005");
        fs::create_dir_all(&checkpoint).expect("a checkpoint");
        for existing in [Existing::Resume, Existing::Replace] {
            let refused = open(&out, existing, &[settings()]);
            assert!(matches!(refused, Err(Failure::Input(line)) if line.contains("is writing to")));
            assert!(checkpoint.exists());
        }
        drop(first);
        assert!(open(&out, Existing::Resume, &[settings()]).is_ok());
    }

    #[test]
    fn strange_files_stay() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("loss.png"), b"a holiday picture").expect("write");
        assert!(matches!(open(folder.path(), Existing::Refuse, &[settings()]), Err(Failure::Input(_))));
        fs::write(folder.path().join(RUN), b"{").expect("write");
        assert!(matches!(open(folder.path(), Existing::Refuse, &[settings()]), Err(Failure::Input(_))));
    }
}
