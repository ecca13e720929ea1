//! Weights of 16 bits with a master of the arithmetic type.

use super::{Dots, GradientLimits, StepInfo, StepRates, UpdateRule};
use crate::backend::{Backend, Gradient, Matrix, Result};
use crate::linalg::Workspace;
use crate::state::{BufferSpec, MASTER, State};
use alloc::{string::String, vec::Vec};
use core::fmt;

/// How weights of 16 bits take an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Rounding {
    /// The state keeps the weights in the arithmetic type, [`Master`]; what the model has is that, rounded to nearest. One more
    /// number of state for each weight.
    #[default]
    Master,
    /// The weights themselves are updated and rounded to nearest: an update below half a unit in their last place is lost, and
    /// with it everything that it would have added up to. A bf16 weight of 1 does not feel updates below 0.002.
    Nearest,
}

/// A rule on a master of the weights: `X' <- step(X')` in the arithmetic type, `X = round(X')`. The first step takes the master from
/// the weights; from then on it is what counts, and weights that somebody else changes are overwritten.
///
/// The [signature](UpdateRule::signature) is the rule's: a state without a master, of release 0.1 or of [`Rounding::Nearest`], goes on
/// with one.
pub struct Master<'a, B: Backend>(pub &'a dyn UpdateRule<B>);

impl<B: Backend> fmt::Debug for Master<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Master").field(&self.0).finish()
    }
}

impl<B: Backend> UpdateRule<B> for Master<'_, B> {
    fn signature(&self) -> String {
        self.0.signature()
    }

    fn signature_in(&self, version: u32) -> String {
        self.0.signature_in(version)
    }

    fn buffers(&self, shape: (usize, usize)) -> Vec<BufferSpec> {
        let mut buffers = self.0.buffers(shape);
        buffers.push(BufferSpec::made_by_rule(MASTER, shape));
        buffers
    }

    fn weight_decay(&self) -> f64 {
        self.0.weight_decay()
    }

    fn validate(&self) -> Result<()> {
        self.0.validate()
    }

    fn check_clip_factor(&self, factor: f64) -> Result<()> {
        self.0.check_clip_factor(factor)
    }

    fn gradient_limits(&self, shape: (usize, usize), dots: Dots) -> GradientLimits {
        self.0.gradient_limits(shape, dots)
    }

    fn resize(&self, wanted: &BufferSpec, saved: &B::Matrix, backend: &B) -> Result<Option<B::Matrix>> {
        self.0.resize(wanted, saved, backend)
    }

    fn step(
        &self,
        weights: &mut B::Matrix,
        gradient: &Gradient<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        rates: &StepRates,
        workspace: &mut Workspace<B>,
    ) -> Result<StepInfo> {
        state.with(MASTER, |master, state| {
            let master = match master {
                Some(master) => master,
                None => {
                    let (rows, cols) = weights.shape();
                    let mut copy = workspace.backend().zeros(rows, cols, Some(weights))?;
                    copy.copy_from(weights)?;
                    master.insert(copy)
                }
            };
            let info = self.0.step(master, gradient, state, rates, workspace)?;
            weights.copy_from(master)?;
            Ok(info)
        })
    }
}
