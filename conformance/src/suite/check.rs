//! One check.

use spectra_core::backend::Backend;

use super::{Failure, Measured, Subject};

/// What a check answers: how exact the backend is, or why it is not right.
pub type Outcome = Result<Measured, Failure>;

/// A check that can be run on backends of type B.
#[derive(Debug)]
pub struct Check<B: Backend> {
    /// What it is about: the module in [`checks`](crate::checks) that holds it.
    pub group: &'static str,
    /// Its name, unique among all checks.
    pub name: &'static str,
    /// The check itself.
    pub run: fn(&Subject<B>) -> Outcome,
}

impl<B: Backend> Clone for Check<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Check<B> {}
