//! One run's result, and the file it is added to.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use spectra_examples::Failure;

/// What one run came to, with all that is needed to run it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What the run is for, inside its experiment: `search`, `seeds`, ...
    pub phase: String,
    /// Which of the things compared it is a run of.
    pub contestant: String,
    /// Seed of weights and batches.
    pub seed: u64,
    /// Steps of the whole run.
    pub steps: usize,
    /// Peak learning rate of the hidden matrices.
    pub lr: f64,
    /// Peak learning rate of everything else.
    pub elementwise_lr: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Share of steps with rising learning rate.
    pub warmup: f64,
    /// Validation loss at the end; none if the run diverged.
    pub loss: Option<f64>,
    /// Share of the validation examples classified rightly, where the task is to classify.
    pub accuracy: Option<f64>,
    /// Step and validation loss wherever it was measured: `100:2.31 200:2.05`.
    pub curve: String,
    /// Median time of the optimizer in a step.
    pub optimizer_ms: f64,
    /// Seconds of training; other programs ran beside it.
    pub seconds: f64,
    /// Bytes of optimizer state.
    pub state_bytes: usize,
    /// Threads of the run.
    pub threads: usize,
    /// Processor.
    pub cpu: String,
    /// Commit of the source.
    pub commit: String,
    /// Day of the run.
    pub date: String,
    /// Title, length and fingerprint of the data.
    pub data: String,
    /// What to call to have it again: see `lab rerun`.
    pub command: String,
}

/// A file of rows, to which one process at a time adds.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    rows: Vec<Row>,
}

impl Results {
    /// The rows of a file, which need not exist. What follows the last whole line is of a killed process and left out.
    ///
    /// # Errors
    /// If a whole line is no row.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let mut text = String::new();
        match File::open(path) {
            Ok(mut file) => {
                file.read_to_string(&mut text).map(|_| ()).map_err(|error| failed(path, &error))?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(path, &error)),
        }
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let rows = csv::Reader::from_reader(whole.as_bytes()).deserialize().collect::<Result<_, _>>();
        Ok(Self { path: path.into(), rows: rows.map_err(|error| failed(path, &error))? })
    }

    /// In the order in which they were added.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Of the run with this command.
    pub fn of(&self, command: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.command == command)
    }

    /// Adds a row at the end of the file and waits until it is on the disk.
    ///
    /// # Errors
    /// Those of the disk; then the rows are as before.
    pub fn add(&mut self, row: Row) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| failed(&self.path, error);
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
        }
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(&self.path)
            .map_err(|error| failed(&error))?;
        let mut there = Vec::new();
        file.read_to_end(&mut there).map_err(|error| failed(&error))?;
        let whole = there.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole < there.len() {
            file.set_len(whole as u64).map_err(|error| failed(&error))?;
        }
        let mut writer = csv::WriterBuilder::new().has_headers(whole == 0).from_writer(Vec::new());
        writer.serialize(&row).map_err(|error| failed(&error))?;
        let line = writer.into_inner().map_err(|error| failed(&error))?;
        file.write_all(&line).and_then(|()| file.sync_data()).map_err(|error| failed(&error))?;
        self.rows.push(row);
        Ok(())
    }
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::run(format!("{}: {error}", path.display()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn row(contestant: &str, phase: &str, seed: u64, loss: f64) -> Row {
        Row {
            phase: phase.into(),
            contestant: contestant.into(),
            seed,
            steps: 400,
            lr: 1e-3,
            elementwise_lr: 4e-3,
            weight_decay: 0.1,
            warmup: 0.075,
            loss: loss.is_finite().then_some(loss),
            accuracy: None,
            curve: "100:2.5 200:2.25".into(),
            optimizer_ms: 2.5,
            seconds: 80.0,
            state_bytes: 10,
            threads: 1,
            cpu: "a \"processor\", new".into(),
            commit: "abc".into(),
            date: "2026-11-30".into(),
            data: "a text".into(),
            command: format!("train --optimizer {contestant} --seed {seed} --phase {phase}"),
        }
    }

    #[test]
    fn rows_come_back_and_half_a_line_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("results/a.csv");
        let mut results = Results::read(&path).expect("no file yet");
        results.add(row("adamw", "seeds", 1, 1.5)).expect("a first row");
        results.add(row("muon", "seeds", 2, f64::INFINITY)).expect("a second");
        let whole = std::fs::read(&path).expect("the file");
        for cut in [whole.len() - 1, whole.len() - 40] {
            std::fs::write(&path, &whole[..cut]).expect("a killed write");
            let mut again = Results::read(&path).expect("a file with half a line");
            assert_eq!(again.rows(), &results.rows()[..1]);
            again.add(results.rows()[1].clone()).expect("the second again");
            assert_eq!(std::fs::read(&path).expect("the file"), whole);
        }
        let again = Results::read(&path).expect("the file");
        assert_eq!(again.rows(), results.rows());
        assert!(again.of(&results.rows()[1].command).is_some() && again.of("other").is_none());
    }

    #[test]
    fn a_strange_file_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("strange.csv");
        std::fs::write(&path, "a,b\n1,2\n").expect("a file");
        let failure = Results::read(&path).expect_err("no rows");
        assert!(failure.to_string().contains("strange.csv"), "{failure}");
    }
}
