//! The step of a parameter's matrices.

use super::assigned::Assigned;
use super::blocks::Whole;
use super::shared::{Arithmetic, Shared};
use crate::{BurnBackend, BurnMatrix, BurnScalar};
use burn::tensor::{DType, Tensor};
use spectra_core::backend::Result;
use spectra_core::optimizer::BlockState;
use spectra_core::optimizer::plan::Block;
use spectra_core::optimizer::policy::StepOptions;

/// A step of a parameter's matrices. It tells whether a finite update has left the range of the weights' 16 bits.
pub(super) struct OneStep<'a, E: Arithmetic> {
    pub(super) shared: &'a Shared,
    pub(super) assigned: &'a Assigned,
    pub(super) backend: &'a BurnBackend<E>,
    pub(super) dtype: DType,
    pub(super) options: StepOptions,
    /// The factor of the norm clip.
    pub(super) scale: Option<&'a BurnScalar>,
}

impl<E: Arithmetic> OneStep<'_, E> {
    /// Of one matrix.
    pub(super) fn apply(
        &self,
        name: &str,
        weights: &mut BurnMatrix<E>,
        gradient: &BurnMatrix<E>,
        state: &mut BlockState<BurnMatrix<E>>,
    ) -> Result<bool> {
        let (_, report) = self.shared.with_workspace(self.backend, |workspace| {
            self.assigned.with_rule::<E, _>(self.dtype, name, |rule| {
                self.options.step(state, rule, weights, (gradient, self.scale), workspace)
            })
        })?;
        if let Some(report) = report {
            self.shared.with_outcome(|outcome| outcome.reports.push((name.into(), report)));
        }
        Ok(weights.has_overflowed())
    }

    /// Of each block, with its own state; what was stepped before an error stays. If `weights` is the only handle, it is changed in
    /// place.
    pub(super) fn apply_to_blocks(
        &self,
        weights: BurnMatrix<E>,
        gradient: BurnMatrix<E>,
        (blocks, states): (&[Block], &mut [BlockState<BurnMatrix<E>>]),
    ) -> (Tensor<2>, Result<bool>) {
        let (mut whole, gradient) = (Whole::new(weights, blocks), Whole::new(gradient, blocks));
        let mut overflowed = false;
        for (block, state) in blocks.iter().zip(states) {
            let stepped = whole.cut(self.backend, block).and_then(|mut part| {
                let gradient = gradient.cut(self.backend, block)?;
                Ok((self.apply(block.name(), &mut part, &gradient, state)?, part))
            });
            match stepped {
                Ok((out_of_range, part)) => {
                    overflowed |= out_of_range;
                    whole = whole.paste(part, block);
                }
                Err(error) => return (whole.into_tensor(), Err(error)),
            }
        }
        (whole.into_tensor(), Ok(overflowed))
    }
}
