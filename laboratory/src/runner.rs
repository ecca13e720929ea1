//! Runs an experiment's trials, each in a process of its own, several at a time.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use spectra_examples::{Failure, Folder, provenance};

use crate::{Experiment, Outcome, Overall, Results, Row, Trial};

/// How trials are run.
#[derive(Debug, Clone, Copy)]
pub struct Manner<'a> {
    /// Trials at a time.
    pub jobs: usize,
    /// Threads of each.
    pub threads: usize,
    /// No more than so many trials.
    pub most: usize,
    /// Those of these contestants only, as far as there are any.
    pub only: &'a [String],
}

/// What the workers share.
struct Shared<'a> {
    results: &'a mut Results,
    running: Vec<String>,
    begun: usize,
    failure: Option<Failure>,
    overall: Overall,
}

/// Runs what is missing from `results`, adding each row as it comes.
///
/// # Errors
/// The first trial that fails otherwise than by diverging, once those that run beside it have ended; and those of the disk.
pub fn run(
    experiment: &(dyn Experiment + Sync),
    results: &mut Results,
    manner: Manner<'_>,
) -> Result<(), Failure> {
    let trials = experiment.trials(results);
    if let Some(name) = manner.only.iter().find(|name| trials.iter().all(|trial| trial.contestant != **name))
    {
        let mut names: Vec<_> = trials.into_iter().map(|trial| trial.contestant).collect();
        names.dedup();
        return Err(Failure::input(format!("{} has no {name:?}, but {names:?}", experiment.name())));
    }
    // One process at a time adds to a file.
    let _held = Folder::take(&PathBuf::from("out/lab").join(experiment.name()))?;
    // Sources without their history have none.
    let commit = provenance::commit().map_or_else(|_| "unknown".into(), |(commit, _)| commit);
    let done = finished(experiment, results);
    let overall = Overall::start(experiment.name(), experiment.total(results), done);
    let shared = Mutex::new(Shared { results, running: Vec::new(), begun: 0, failure: None, overall });
    let changed = Condvar::new();
    std::thread::scope(|scope| {
        for _ in 0..manner.jobs {
            scope.spawn(|| work(experiment, manner, &commit, &shared, &changed));
        }
    });
    let shared = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    shared.overall.finish();
    shared.failure.map_or(Ok(()), Err)
}

fn finished(experiment: &dyn Experiment, results: &Results) -> usize {
    experiment.trials(results).iter().filter(|trial| results.of(&trial.command).is_some()).count()
}

/// Takes one trial after the other until none is left that can be begun.
fn work(
    experiment: &(dyn Experiment + Sync),
    manner: Manner<'_>,
    commit: &str,
    shared: &Mutex<Shared<'_>>,
    changed: &Condvar,
) {
    let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    let mut guard = lock();
    loop {
        if guard.failure.is_some() || guard.begun == manner.most {
            return;
        }
        let Some(trial) = next(experiment, manner.only, &guard) else {
            if guard.running.is_empty() {
                return;
            }
            // Which trials come next depends on one that is running.
            guard = changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        guard.running.push(trial.command.clone());
        guard.begun += 1;
        drop(guard);
        let outcome = execute(&trial.command, manner.threads);
        guard = lock();
        guard.running.retain(|command| *command != trial.command);
        let added = outcome.and_then(|outcome| {
            let row = row(&trial, outcome, manner.threads, commit);
            guard.results.add(row.clone()).map(|()| row)
        });
        match added {
            Ok(row) => {
                let total = experiment.total(guard.results);
                let done = finished(experiment, guard.results);
                guard.overall.step(&row, done, total);
            }
            Err(failure) => guard.failure = Some(failure),
        }
        changed.notify_all();
    }
}

fn next(experiment: &dyn Experiment, only: &[String], shared: &MutexGuard<'_, Shared<'_>>) -> Option<Trial> {
    let is_new = |trial: &Trial| {
        (only.is_empty() || only.contains(&trial.contestant))
            && shared.results.of(&trial.command).is_none()
            && !shared.running.contains(&trial.command)
    };
    experiment.trials(shared.results).into_iter().find(is_new)
}

/// Runs `lab COMMAND` with so many threads. A run that was killed goes on from its last checkpoint.
///
/// # Errors
/// If the process cannot be started, fails or says nothing that can be read.
pub fn execute(command: &str, threads: usize) -> Result<Outcome, Failure> {
    let failed = |what: &dyn std::fmt::Display| Failure::run(format!("lab {command}: {what}"));
    let this = std::env::current_exe().map_err(|error| failed(&error))?;
    let folder = folder(command);
    let output = Command::new(this)
        .args(command.split_whitespace())
        .arg("--out")
        .arg(&folder)
        .env("RAYON_NUM_THREADS", threads.to_string())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| failed(&error))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(failed(&said.lines().last().unwrap_or("it was killed")));
    }
    let line = String::from_utf8_lossy(&output.stdout);
    let outcome = serde_json::from_str(line.trim()).map_err(|error| failed(&error))?;
    // Its checkpoints have served.
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(&error)),
        _ => Ok(outcome),
    }
}

/// Where a run keeps its checkpoints.
fn folder(command: &str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    command.hash(&mut hasher);
    PathBuf::from(format!("out/lab/{:016x}", hasher.finish()))
}

/// The row of a run.
pub(crate) fn row(trial: &Trial, outcome: Outcome, threads: usize, commit: &str) -> Row {
    let curve: Vec<_> = outcome.curve.iter().map(|(step, loss)| format!("{step}:{loss:.4}")).collect();
    Row {
        phase: trial.phase.into(),
        contestant: trial.contestant.clone(),
        seed: outcome.seed,
        steps: outcome.steps,
        lr: outcome.lr,
        elementwise_lr: outcome.elementwise_lr,
        weight_decay: outcome.weight_decay,
        warmup: outcome.warmup,
        loss: outcome.loss,
        accuracy: outcome.accuracy,
        curve: curve.join(" "),
        optimizer_ms: (outcome.optimizer_ms * 1e3).round() / 1e3,
        seconds: (outcome.seconds * 10.0).round() / 10.0,
        state_bytes: outcome.state_bytes,
        threads,
        cpu: provenance::cpu(),
        commit: commit.into(),
        date: provenance::today(),
        data: outcome.data,
        command: trial.command.clone(),
    }
}
