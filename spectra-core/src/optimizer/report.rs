//! What a step did, for who asks.

use super::Optimizer;
use crate::backend::{Backend, Coefficient, Matrix, Result, Scalar};
use crate::linalg::Workspace;
use crate::rules::{StepInfo, StepRates};

/// What the last step of a matrix did. Numbers that the host has not are read from the device when they are asked for.
#[derive(Debug, Clone)]
pub struct StepReport<S> {
    /// What the rule found out.
    pub info: StepInfo<S>,
    /// The rates it stepped at.
    pub rates: StepRates,
    /// The factor of the norm clip; `None` where nothing was clipped or the gradient was divided beforehand.
    pub gradient_scale: Option<S>,
    /// `||X' - (1 - lr wd) X||_F^2`.
    moved: S,
    entries: usize,
}

impl<S: Scalar> StepReport<S> {
    /// The root mean square of the update at learning rate 1, `||X' - (1 - lr wd) X||_F / (lr sqrt(mn))`; 0 at a rate of 0.
    /// **Waits** for the device.
    ///
    /// # Errors
    /// Those of the device.
    pub fn update_rms(&self) -> Result<f64> {
        let moved = libm::sqrt(self.moved.read()? / self.entries.max(1) as f64);
        Ok(if self.rates.lr == 0.0 { 0.0 } else { moved / self.rates.lr })
    }
}

/// The weights before a step, to measure it.
#[derive(Debug)]
pub struct Before<B: Backend> {
    weights: B::Matrix,
}

impl<B: Backend> Before<B> {
    /// A copy of them.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn new(weights: &B::Matrix, workspace: &mut Workspace<B>) -> Result<Self> {
        let mut copy = workspace.take_like(weights, weights.shape().1)?;
        copy.copy_from(weights)?;
        Ok(Self { weights: copy })
    }

    /// The report of the step that has made these weights of them.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn report(
        mut self,
        weights: &B::Matrix,
        (info, rates): (StepInfo<B::Scalar>, StepRates),
        gradient_scale: Option<B::Scalar>,
        workspace: &mut Workspace<B>,
    ) -> Result<StepReport<B::Scalar>> {
        self.weights.scale_add((-rates.decay()).into(), Coefficient::ONE, weights)?;
        let moved = self.weights.dot(&self.weights)?;
        let (rows, cols) = weights.shape();
        workspace.give(self.weights);
        Ok(StepReport { info, rates, gradient_scale, moved, entries: rows * cols })
    }
}

impl<B: Backend> Optimizer<B> {
    /// From the next step on keeps a [report](Self::report) of each matrix: two passes over its weights and a temporary of their shape
    /// more, and no wait.
    pub fn keep_reports(&mut self, keep: bool) {
        self.keeps_reports = keep;
        if !keep {
            self.members.iter_mut().for_each(|member| member.report = None);
        }
    }

    /// What the last step of parameter `index` did, if it took part in it and [reports are kept](Self::keep_reports).
    pub fn report(&self, index: usize) -> Option<&StepReport<B::Scalar>> {
        self.members.get(index)?.report.as_ref()
    }
}
