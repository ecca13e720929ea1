//! A thread's step of a whole model.

use super::lockstep::Lockstep;
use super::shared::{Shared, lock};
use crate::BurnScalar;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use spectra_core::backend::Error;
use spectra_core::optimizer::{Observation, StepReport};
use std::sync::Arc;
use std::thread::{self, ThreadId};

/// What was found out about all gradients of a step of the whole model. Burn's own type tells nobody: there it is the default.
#[derive(Debug, Default, Clone)]
pub(super) struct Prepared {
    /// The factor of the norm clip.
    pub(super) scale: Option<BurnScalar>,
    /// The factor of the clip threshold that the user set, if one was.
    pub(super) clip_factor: Option<f64>,
    /// The step of the model, counted from 1.
    pub(super) model_step: Option<u64>,
    /// Whether to report what the step does.
    pub(super) keep_reports: bool,
    /// A dry run: the matrices that are observed, by their names, and nothing steps.
    pub(super) observes: Option<Arc<[Box<str>]>>,
    /// Whether parameters may [wait](super::lockstep) for others of their shape.
    pub(super) lockstep: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The first error: what stepped before it has moved, what comes after it must not.
    pub(super) failed: Option<Error>,
    /// The parameters that a finite update has made infinite.
    pub(super) overflowed: Vec<Box<str>>,
    /// What the steps of matrices did.
    pub(super) reports: Vec<(Box<str>, StepReport<BurnScalar>)>,
    /// What a dry run saw.
    pub(super) observations: Vec<(Box<str>, Observation<Tensor<2>>)>,
    /// What steps together, in `f32` arithmetic and in `f64`.
    pub(super) single: Lockstep<f32>,
    pub(super) double: Lockstep<f64>,
    /// A tensor for each parameter that burn has to come by again for.
    pub(super) again: GradientsParams,
}

/// The turns that are being taken.
pub(super) type Turns = Vec<(ThreadId, Prepared, Outcome)>;

/// A turn, from here until it is ended or dropped. Burn steps all parameters of a model on the thread that asks for it, so what
/// belongs to a step is found by the thread: clones on other threads step side by side. None of them may wait for another, as
/// a device of theirs may be waiting for this one's, to add gradients.
pub(super) struct Turn<'a>(&'a Shared);

impl<'a> Turn<'a> {
    pub(super) fn begin(shared: &'a Shared, prepared: Prepared) -> Self {
        let mut turns = lock(shared.turns());
        turns.retain(|(thread, ..)| *thread != thread::current().id());
        turns.push((thread::current().id(), prepared, Outcome::default()));
        Self(shared)
    }

    pub(super) fn end(self) -> Outcome {
        self.take()
    }

    fn take(&self) -> Outcome {
        let mut turns = lock(self.0.turns());
        let at = turns.iter().position(|(thread, ..)| *thread == thread::current().id());
        at.map(|at| turns.swap_remove(at).2).unwrap_or_default()
    }
}

/// Also if burn panics.
impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.take();
    }
}

impl Shared {
    /// What this thread's step knows.
    pub(super) fn prepared(&self) -> Prepared {
        let turns = lock(self.turns());
        let own = turns.iter().find(|(thread, ..)| *thread == thread::current().id());
        own.map(|(_, prepared, _)| prepared.clone()).unwrap_or_default()
    }

    /// Runs `f` on the outcome of this thread's step, if it takes one of a whole model.
    pub(super) fn with_outcome<R>(&self, f: impl FnOnce(&mut Outcome) -> R) -> Option<R> {
        let mut turns = lock(self.turns());
        let own = turns.iter_mut().find(|(thread, ..)| *thread == thread::current().id());
        own.map(|(.., outcome)| f(outcome))
    }
}
