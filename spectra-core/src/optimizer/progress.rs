//! Whether the last step is whole: an error in the middle of one must not go unnoticed.

use super::Optimizer;
use super::member::Member;
use super::policy;
use crate::backend::{Backend, Error, ErrorKind, Result};

/// How far the current step has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Every step so far is whole.
    Whole,
    /// Parameters have been updated, this one last, and the step has not been finished.
    Begun(usize),
    /// The update of this parameter failed.
    Failed(usize),
}

impl<B: Backend> Optimizer<B> {
    /// `Ok` if every step so far is whole; what steps and saving ask first.
    ///
    /// # Errors
    /// [`ErrorKind::NeedsRestore`] with the parameter at which a step failed after something had changed, or, of a step
    /// that was begun by [`update`](Self::update) and never [finished](Self::finish), the one updated last. Then weights and state
    /// belong to two different steps; a [restore](Self::restore) brings the state back, the weights are the caller's.
    pub fn check_whole(&self, operation: &'static str) -> Result<()> {
        match self.progress {
            Progress::Whole => Ok(()),
            Progress::Begun(index) | Progress::Failed(index) => Err(self.needs_restore(operation, index)),
        }
    }

    /// `Ok` unless an update has failed.
    pub(super) fn check_not_failed(&self, operation: &'static str) -> Result<()> {
        match self.progress {
            Progress::Whole | Progress::Begun(_) => Ok(()),
            Progress::Failed(index) => Err(self.needs_restore(operation, index)),
        }
    }

    fn needs_restore(&self, operation: &'static str, index: usize) -> Error {
        let error = Error::new(operation, ErrorKind::NeedsRestore);
        match self.members.get(index) {
            Some(member) => error.for_parameter(&member.spec.name),
            None => error,
        }
    }

    /// An error if no parameter has a gradient, or under
    /// [`require_gradients`](super::Config::require_gradients) if one has none.
    pub(super) fn check_present(&self, gradients: impl Iterator<Item = usize> + Clone) -> Result<()> {
        let live = |index: &usize| self.members.get(*index).is_some_and(Member::is_live);
        let absent = |index: &usize| live(index) && !gradients.clone().any(|given| given == *index);
        let any = gradients.clone().any(|index| live(&index));
        let all = || gradients.clone().filter(live).count() == (0..self.members.len()).filter(live).count();
        policy::check_present(&self.config, any, || {
            let missing = if all() { None } else { (0..self.members.len()).find(absent) };
            self.members.get(missing?).map(|member| &*member.spec.name)
        })
    }
}
