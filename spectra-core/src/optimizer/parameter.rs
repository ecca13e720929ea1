//! One matrix with its rule and its state.

use crate::backend::{Backend, Gradient, Matrix, Result, check_same};
use crate::linalg::Workspace;
use crate::rules::{Rates, Recipe, StepInfo, StepRates, UpdateRule};
use crate::state::State;

/// The state of one matrix.
#[derive(Debug, Clone)]
pub struct BlockState<M> {
    /// The buffers.
    pub state: State<M>,
    /// Steps taken.
    pub steps: u64,
}

impl<M> Default for BlockState<M> {
    fn default() -> Self {
        Self { state: State::default(), steps: 0 }
    }
}

impl<M: Matrix> BlockState<M> {
    /// Makes the buffers that begin as zeros and do not exist yet.
    ///
    /// # Errors
    /// When memory cannot be had.
    pub fn reserve<B: Backend<Matrix = M>>(
        &mut self,
        rule: &(impl UpdateRule<B> + ?Sized),
        like: &M,
        backend: &B,
    ) -> Result<()> {
        if self.steps > 0 {
            return Ok(());
        }
        self.state.reserve(&rule.buffers(like.shape()), like, backend)
    }

    /// One step of `rule`.
    ///
    /// Gradients must be finite ([`Optimizer`](super::Optimizer) checks them). After the first step a CPU backend
    /// allocates nothing; a device backend does not wait unless its small factorisations do.
    ///
    /// # Errors
    /// Rates, shapes, and memory for the buffers, before anything has changed. Afterwards those of the device, of
    /// memory for temporaries, and of a map that finds a NaN or an infinity: then weights and buffers may be between two steps, and
    /// the step is not counted. [`Optimizer`](super::Optimizer) remembers that; whoever calls this method has to.
    pub fn step<B: Backend<Matrix = M>>(
        &mut self,
        rule: &(impl UpdateRule<B> + ?Sized),
        weights: &mut M,
        gradient: &Gradient<'_, M>,
        rates: Rates,
        workspace: &mut Workspace<B>,
    ) -> Result<StepInfo<B::Scalar>> {
        rates.validate(rule)?;
        check_same("step", weights, gradient.values)?;
        self.advance(rule, weights, gradient, &rates.at(self.steps, rule), workspace)
    }

    /// [`step`](Self::step) at rates and of shapes that have been checked.
    pub(super) fn advance<B: Backend<Matrix = M>>(
        &mut self,
        rule: &(impl UpdateRule<B> + ?Sized),
        weights: &mut M,
        gradient: &Gradient<'_, M>,
        rates: &StepRates,
        workspace: &mut Workspace<B>,
    ) -> Result<StepInfo<B::Scalar>> {
        let _scope = workspace.scope();
        self.reserve(rule, gradient.values, workspace.backend())?;
        let info = rule.step(weights, gradient, &mut self.state, rates, workspace)?;
        self.steps += 1;
        Ok(info)
    }
}

/// One matrix's rule and state, for a loop of one's own.
#[derive(Debug)]
pub struct ParameterState<B: Backend, R = Recipe> {
    /// The rule.
    pub rule: R,
    /// Its state.
    pub block: BlockState<B::Matrix>,
}

impl<B: Backend, R: UpdateRule<B>> ParameterState<B, R> {
    /// An empty state; buffers are made on the first step.
    ///
    /// # Errors
    /// A setting of the rule outside its domain.
    pub fn new(rule: R) -> Result<Self> {
        rule.validate()?;
        Ok(Self { rule, block: BlockState::default() })
    }

    /// One step, as [`BlockState::step`].
    ///
    /// # Errors
    /// As there.
    pub fn step(
        &mut self,
        weights: &mut B::Matrix,
        gradient: &Gradient<'_, B::Matrix>,
        rates: Rates,
        workspace: &mut Workspace<B>,
    ) -> Result<StepInfo<B::Scalar>> {
        self.block.step(&self.rule, weights, gradient, rates, workspace)
    }

    /// The buffers.
    pub fn state(&self) -> &State<B::Matrix> {
        &self.block.state
    }
}
