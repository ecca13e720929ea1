//! All checks on one backend.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use spectra_core::backend::Backend;

use super::{Check, Failure, Measured, Outcome, Point, Subject, checks};

/// What became of one check.
#[derive(Debug)]
pub enum Status {
    /// It passed, this exactly.
    Passed(Measured),
    /// It failed, for this reason.
    Failed(Failure),
    /// It was declared as not applicable and not run.
    Skipped,
}

impl Status {
    /// What was measured on each input, also on the way to a failure.
    #[must_use]
    pub fn points(&self) -> &[Point] {
        match self {
            Self::Passed(measured) => &measured.points,
            Self::Failed(Failure::Inexact { points, .. }) => points,
            Self::Failed(_) | Self::Skipped => &[],
        }
    }
}

/// One check's line in a report.
#[derive(Debug)]
pub struct Entry {
    /// The check's group.
    pub group: &'static str,
    /// The check's name.
    pub name: &'static str,
    /// What became of it.
    pub status: Status,
}

/// The outcome of every check on one backend.
#[derive(Debug)]
pub struct Report {
    /// One entry for each check, in the order of the registry.
    pub entries: Vec<Entry>,
}

impl Report {
    /// The checks that failed.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, &Failure)> {
        self.entries.iter().filter_map(|entry| match &entry.status {
            Status::Failed(failure) => Some((entry.name, failure)),
            Status::Passed(_) | Status::Skipped => None,
        })
    }

    /// How many checks were run, whatever they found.
    #[must_use]
    pub fn executed(&self) -> usize {
        self.entries.iter().filter(|entry| !matches!(entry.status, Status::Skipped)).count()
    }

    /// Whether nothing failed and enough was run to say so.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures().next().is_none() && self.executed() >= minimum_executed(self.entries.len())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Entry { group, name, status } in &self.entries {
            match status {
                Status::Passed(measured) => writeln!(f, "{group:16} {name:34} passed   {measured}")?,
                Status::Failed(failure) => writeln!(f, "{group:16} {name:34} FAILED   {failure}")?,
                Status::Skipped => writeln!(f, "{group:16} {name:34} skipped{}", unknown_without(name))?,
            }
        }
        let failed = self.failures().count();
        let executed = self.executed();
        let skipped = self.entries.len() - executed;
        write!(f, "{} passed, {failed} failed, {skipped} skipped", executed - failed)
    }
}

/// How many of `total` checks must be run before a report counts as passed: three in four.
#[must_use]
pub fn minimum_executed(total: usize) -> usize {
    total - total / 4
}

/// What remains unknown of a subject that does not say what a check needs to be told.
fn unknown_without(check: &str) -> &'static str {
    match check {
        "second_handles_are_untouched" => {
            ": whether operations change what another handle sees is unknown (Subject::with_second_handle)"
        }
        "two_threads" => ": whether two threads may use the backend is unknown (Subject::on_threads)",
        _ => "",
    }
}

/// Whether the subject lacks what the check needs to be told.
fn lacks<B: Backend>(subject: &Subject<B>, check: &str) -> bool {
    match check {
        "second_handles_are_untouched" => subject.second_handle().is_none(),
        "two_threads" => subject.threads().is_none(),
        _ => false,
    }
}

/// Runs every check on `subject`, but for those named in `skip` and those that need to be told what the subject does not tell:
/// `second_handles_are_untouched` without [`Subject::with_second_handle`], `two_threads` without [`Subject::on_threads`].
///
/// A panic inside a check is a failure of the backend.
///
/// # Panics
/// If `skip` names a check that does not exist.
#[must_use]
pub fn run<B: Backend>(subject: &Subject<B>, skip: &[&str]) -> Report {
    run_observed(subject, skip, |_| ())
}

/// [`run`], which shows every entry to `observe` as soon as it is there.
///
/// # Panics
/// As [`run`].
pub fn run_observed<B: Backend>(subject: &Subject<B>, skip: &[&str], observe: impl FnMut(&Entry)) -> Report {
    run_chosen(subject, skip, |_, _| true, observe)
}

/// [`run_observed`] of the checks whose group and name `wants` takes; the report knows of no others.
pub(crate) fn run_chosen<B: Backend>(
    subject: &Subject<B>,
    skip: &[&str],
    wants: impl Fn(&str, &str) -> bool,
    mut observe: impl FnMut(&Entry),
) -> Report {
    let checks = checks::<B>();
    for name in skip {
        assert!(checks.iter().any(|check| check.name == *name), "there is no check {name:?} to skip");
    }
    let run_one = |check: Check<B>| {
        let status = if lacks(subject, check.name) || skip.contains(&check.name) {
            Status::Skipped
        } else {
            match run_guarded(check, subject) {
                Ok(measured) => Status::Passed(measured),
                Err(failure) => Status::Failed(failure),
            }
        };
        let entry = Entry { group: check.group, name: check.name, status };
        observe(&entry);
        entry
    };
    let chosen = checks.into_iter().filter(|check| wants(check.group, check.name));
    Report { entries: chosen.map(run_one).collect() }
}

fn run_guarded<B: Backend>(check: Check<B>, subject: &Subject<B>) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| (check.run)(subject)))
        .unwrap_or_else(|payload| Err(Failure::Panicked { message: message_of(payload.as_ref()) }))
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
