//! Checkpoints: a folder for each, which appears by one rename when all of it has been written.
//!
//! Model, optimizer and measurements lie in the same folder, so that they always belong together: a kill at
//! any moment leaves the last whole checkpoint, or the new one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::files::write_whole;
use crate::text::fingerprint;
use crate::{Failure, Record, Settings};

const PREFIX: &str = "step-";
const UNFINISHED: &str = ".writing-";
const SETTINGS: &str = "settings.json";
const RECORD: &str = "record.json";
const FINGERPRINTS: &str = "fingerprints.json";

/// The checkpoints of one optimizer's run; only the newest is kept.
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// The checkpoints in `folder`, which need not exist.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Saves settings, record, and what `write` adds to the folder it is given; then drops older checkpoints.
    pub fn save(
        &self,
        settings: &Settings,
        record: &Record,
        write: impl FnOnce(&Path) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        fs::create_dir_all(&self.folder).map_err(|error| self.failed(error))?;
        let older = self.list()?;
        let unfinished = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(&self.folder)
            .map_err(|error| self.failed(error))?;
        let json = |value: serde_json::Result<String>| value.map_err(|error| self.failed(error));
        write_whole(
            &unfinished.path().join(SETTINGS),
            json(serde_json::to_string_pretty(settings))?.as_bytes(),
        )?;
        write_whole(&unfinished.path().join(RECORD), json(serde_json::to_string(record))?.as_bytes())?;
        // What a framework says of a full disk has no path in it.
        write(unfinished.path()).map_err(|failure| match failure {
            Failure::Run(message) => self.failed(message),
            other => other,
        })?;
        let fingerprints = self.fingerprints(unfinished.path())?;
        write_whole(
            &unfinished.path().join(FINGERPRINTS),
            json(serde_json::to_string_pretty(&fingerprints))?.as_bytes(),
        )?;
        let finished = self.folder.join(format!("{PREFIX}{:08}", record.step()));
        if finished.exists() {
            self.discard(&finished)?;
        }
        fs::rename(unfinished.keep(), &finished).map_err(|error| self.failed(error))?;
        older.iter().filter(|path| **path != finished).try_for_each(|path| self.discard(path))
    }

    /// The newest checkpoint's folder, if there is one.
    pub fn newest(&self) -> Result<Option<PathBuf>, Failure> {
        Ok(self.list()?.pop())
    }

    /// The newest checkpoint's folder and record, if there is one and it was made under `settings`, and if every file in it is
    /// the one that was written.
    pub fn latest(&self, settings: &Settings) -> Result<Option<(PathBuf, Record)>, Failure> {
        let Some(path) = self.list()?.pop() else { return Ok(None) };
        let made_under: Settings = self.parse(&path.join(SETTINGS))?;
        if let Some(difference) = made_under.difference(settings) {
            return Err(Failure::input(format!(
                "{} is of another run ({difference}): pass the settings it was made with, or another --out",
                path.display()
            )));
        }
        let expected: BTreeMap<String, String> = self.parse(&path.join(FINGERPRINTS))?;
        let found = self.fingerprints(&path)?;
        if let Some((name, _)) = expected.iter().find(|(name, expected)| found.get(*name) != Some(*expected))
        {
            return Err(unusable(&path.join(name), "it is missing or damaged"));
        }
        // Whatever is read from the folder is vouched for: a list that lacks one of its files is as good as none.
        if let Some(name) = found.keys().find(|name| !expected.contains_key(*name)) {
            return Err(unusable(&path.join(FINGERPRINTS), &format!("it does not list {name}")));
        }
        let record: Record = self.parse(&path.join(RECORD))?;
        Ok(Some((path, record)))
    }

    /// Name and fingerprint of every file in a checkpoint but the list of them.
    fn fingerprints(&self, checkpoint: &Path) -> Result<BTreeMap<String, String>, Failure> {
        let mut fingerprints = BTreeMap::new();
        for entry in fs::read_dir(checkpoint).map_err(|error| self.failed(error))? {
            let entry = entry.map_err(|error| self.failed(error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != FINGERPRINTS {
                let bytes = fs::read(entry.path()).map_err(|error| self.failed(error))?;
                fingerprints.insert(name, format!("{:016x}", fingerprint(&bytes)));
            }
        }
        Ok(fingerprints)
    }

    /// Removes every checkpoint, and what kills have left of unfinished ones.
    pub fn clear(&self) -> Result<(), Failure> {
        for path in self.list()? {
            self.discard(&path)?;
        }
        self.clear_unfinished()
    }

    /// Removes what kills have left of unfinished checkpoints.
    pub fn clear_unfinished(&self) -> Result<(), Failure> {
        self.entries(UNFINISHED)?
            .iter()
            .try_for_each(|path| fs::remove_dir_all(path).map_err(|error| self.failed(error)))
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, path: &Path) -> Result<T, Failure> {
        let unusable = |error: String| unusable(path, &error);
        let bytes = fs::read(path).map_err(|error| unusable(error.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))
    }

    /// Finished checkpoints, oldest first.
    fn list(&self) -> Result<Vec<PathBuf>, Failure> {
        self.entries(PREFIX)
    }

    fn entries(&self, prefix: &str) -> Result<Vec<PathBuf>, Failure> {
        if !self.folder.exists() {
            return Ok(Vec::new());
        }
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(|error| self.failed(error))? {
            let entry = entry.map_err(|error| self.failed(error))?;
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                paths.push(entry.path());
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// Removes a checkpoint so that a kill cannot leave half of it under a finished one's name.
    fn discard(&self, path: &Path) -> Result<(), Failure> {
        let aside = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(&self.folder)
            .map_err(|error| self.failed(error))?;
        fs::rename(path, aside.path().join("old")).map_err(|error| self.failed(error))?;
        aside.close().map_err(|error| self.failed(error))
    }

    fn failed(&self, error: impl std::fmt::Display) -> Failure {
        Failure::run(format!("cannot keep checkpoints in {}: {error}", self.folder.display()))
    }
}

/// What to say of a checkpoint file that cannot be used.
pub fn unusable(path: &Path, reason: &str) -> Failure {
    Failure::input(format!(
        "{} is no usable part of a checkpoint ({reason}): pass another --out, or --overwrite to start again",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::settings;

    fn write_nothing(_: &Path) -> Result<(), Failure> {
        Ok(())
    }

    fn record(steps: usize) -> Record {
        let row = crate::Row {
            step: 1,
            seconds: 0.1 + 0.2,
            learning_rate: 1e-3 / 3.0,
            training_loss: 5.1,
            gradient_norm: 1.0,
            optimizer_ms: 0.5,
            validation_loss: None,
            updates: None,
            weights: None,
        };
        Record { rows: vec![row; steps], ..Record::default() }
    }

    #[test]
    fn the_newest_is_kept_and_read_back_exactly() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let checkpoints = Checkpoints::new(folder.path().join("adamw"));
        for steps in [1, 2, 2, 10] {
            checkpoints.save(&settings(), &record(steps), write_nothing).expect("save");
        }
        let (path, read) = checkpoints.latest(&settings()).expect("read").expect("a checkpoint");
        assert_eq!(
            (read, path.file_name().and_then(|name| name.to_str())),
            (record(10), Some("step-00000010"))
        );
        assert_eq!(fs::read_dir(folder.path().join("adamw")).expect("list").count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_old_one() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let checkpoints = Checkpoints::new(folder.path().into());
        checkpoints.save(&settings(), &record(1), write_nothing).expect("save");
        let full = |_: &Path| Err(Failure::run("disk full"));
        assert!(checkpoints.save(&settings(), &record(2), full).is_err());
        assert_eq!(checkpoints.latest(&settings()).expect("read").map(|(_, read)| read), Some(record(1)));
    }

    #[test]
    fn foreign_and_corrupt_ones_are_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let checkpoints = Checkpoints::new(folder.path().into());
        checkpoints.save(&settings(), &record(1), write_nothing).expect("save");
        let other = Settings { width: 64, ..settings() };
        assert!(matches!(checkpoints.latest(&other), Err(Failure::Input(line)) if line.contains("--width")));
        for file in [RECORD, FINGERPRINTS, SETTINGS] {
            fs::write(folder.path().join("step-00000001").join(file), b"{").expect("damage");
            let refused = checkpoints.latest(&settings());
            assert!(matches!(refused, Err(Failure::Input(line)) if line.contains(file)), "{file}");
        }
    }

    #[test]
    fn a_file_that_no_fingerprint_vouches_for_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let checkpoints = Checkpoints::new(folder.path().into());
        let model = |folder: &Path| write_whole(&folder.join("model"), b"weights");
        checkpoints.save(&settings(), &record(1), model).expect("save");
        let checkpoint = folder.path().join("step-00000001");
        let list = checkpoint.join(FINGERPRINTS);
        let whole = fs::read_to_string(&list).expect("a list");
        let all: BTreeMap<String, String> = serde_json::from_str(&whole).expect("json");
        assert_eq!(all.keys().collect::<Vec<_>>(), ["model", RECORD, SETTINGS]);
        // Nothing listed, or everything but one.
        let mut lists = vec![BTreeMap::new()];
        lists.extend(all.keys().map(|name| {
            let mut fewer = all.clone();
            fewer.remove(name);
            fewer
        }));
        for fewer in lists {
            fs::write(&list, serde_json::to_string(&fewer).expect("json")).expect("damage");
            let refused = checkpoints.latest(&settings());
            assert!(
                matches!(&refused, Err(Failure::Input(line)) if line.contains(FINGERPRINTS)),
                "{fewer:?}"
            );
        }
        fs::write(&list, whole).expect("repair");
        assert!(checkpoints.latest(&settings()).expect("whole").is_some());
        fs::write(checkpoint.join("model"), b"others").expect("damage");
        assert!(
            matches!(checkpoints.latest(&settings()), Err(Failure::Input(line)) if line.contains("model"))
        );
    }
}
