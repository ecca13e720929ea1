//! Blocks that a rule steps together.

use super::{StepInfo, StepRates};
use crate::backend::{Backend, Gradient};
use crate::state::State;

/// Which blocks a rule wants to step together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batching {
    /// None.
    Alone,
    /// Those of equal shape.
    EqualShapes,
    /// All.
    AnyShape,
    /// Those of equal shape, where the backend has [stacks](crate::backend::Stacking), as one matrix in one call of
    /// [`step`](super::UpdateRule::step); elsewhere none. The step must then, once all its buffers exist, read nothing, ask for the same operations
    /// whatever the numbers are, and leave each buffer its handle.
    Stacked,
}

impl Batching {
    /// Of a rule around one that wants this, and steps it in its own step.
    pub(super) fn around(self) -> Self {
        if self == Self::Stacked { Self::Stacked } else { Self::Alone }
    }
}

/// One of several blocks that [`UpdateRule::step_batch`](super::UpdateRule::step_batch) is given.
#[derive(Debug)]
pub struct BatchItem<'a, B: Backend> {
    /// The block's name.
    pub name: &'a str,
    /// Its weights.
    pub weights: &'a mut B::Matrix,
    /// Its gradient.
    pub gradient: Gradient<'a, B::Matrix>,
    /// Its buffers.
    pub state: &'a mut State<B::Matrix>,
    /// Its rates; groups may differ in them.
    pub rates: StepRates,
    /// What its step found out; none until it has been taken.
    pub info: Option<StepInfo<B::Scalar>>,
}
