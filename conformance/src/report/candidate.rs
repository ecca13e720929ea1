//! What can be asked for on the command line.

use std::error::Error;
use std::fmt;

use spectra_core::backend::Backend;

use crate::Precision;
use crate::suite::{Entry, Report, Subject, checks, run_chosen};

type Run = dyn Fn(&mut dyn FnMut(&Entry), &[&str], &[String]) -> Result<Report, Box<dyn Error>>;

/// Whether a check is among those that are asked for: one of the texts is in its group or name, or there is none.
fn is_wanted(only: &[String], group: &str, name: &str) -> bool {
    only.is_empty() || only.iter().any(|text| group.contains(text) || name.contains(text))
}

/// A backend in one precision, which a program of [`main`](super::main) can check.
pub struct Candidate {
    backend: String,
    element: Precision,
    /// Groups and names.
    checks: Vec<(&'static str, &'static str)>,
    skip: &'static [&'static str],
    run: Box<Run>,
}

impl Candidate {
    /// The backend that `make` makes, under the name `backend`.
    ///
    /// Give one for each element type, all under the same name. `make` is called when the backend is asked for; after its
    /// error the others are run, and the program fails.
    pub fn new<B: Backend + 'static>(
        backend: &str,
        make: impl Fn() -> Result<Subject<B>, Box<dyn Error>> + 'static,
    ) -> Self {
        Self {
            backend: backend.into(),
            element: Precision::of::<B::Element>(),
            checks: checks::<B>().iter().map(|check| (check.group, check.name)).collect(),
            skip: &[],
            run: Box::new(move |observe, skip, only| {
                Ok(run_chosen(&make()?, skip, |group, name| is_wanted(only, group, name), observe))
            }),
        }
    }

    /// The same without checks that the backend cannot pass by its nature; they are shown as skipped.
    #[must_use]
    pub fn skipping(self, skip: &'static [&'static str]) -> Self {
        Self { skip, ..self }
    }

    /// One whose outcome is known.
    #[cfg(test)]
    pub(super) fn known(backend: &str, outcome: fn() -> Result<Report, Box<dyn Error>>) -> Self {
        let run = Box::new(move |_: &mut dyn FnMut(&Entry), _: &[&str], _: &[String]| outcome());
        Self { backend: backend.into(), element: Precision::F32, checks: Vec::new(), skip: &[], run }
    }

    pub(super) fn backend(&self) -> &str {
        &self.backend
    }

    pub(super) fn element(&self) -> Precision {
        self.element
    }

    pub(super) fn name(&self) -> String {
        format!("{} {}", self.backend, self.element)
    }

    /// How many of its checks are asked for.
    pub(super) fn checks(&self, only: &[String]) -> usize {
        self.checks.iter().filter(|(group, name)| is_wanted(only, group, name)).count()
    }

    pub(super) fn run(
        &self,
        only: &[String],
        observe: &mut dyn FnMut(&Entry),
    ) -> Result<Report, Box<dyn Error>> {
        (self.run)(observe, self.skip, only)
    }
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate").field("name", &self.name()).field("skip", &self.skip).finish()
    }
}
