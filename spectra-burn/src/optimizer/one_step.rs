//! The step of a parameter's matrices.

use super::Spectral;
use super::assigned::Assigned;
use super::blocks::{cut, paste};
use super::shared::Arithmetic;
use crate::{BurnBackend, BurnMatrix};
use burn::tensor::DType;
use spectra_core::backend::{ErrorKind, Gradient, Matrix, Result};
use spectra_core::optimizer::plan::Block;
use spectra_core::optimizer::{BlockState, Rates};
use spectra_core::rules::UpdateRule;
use spectra_core::state::{MASTER, State};

/// Whether a step went as it should; of several blocks the last of these counts.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stepped {
    Whole,
    /// A finite update has left the range of the weights' 16 bits.
    Overflowed,
    /// Nobody asked for the check of the gradient, and the weights are NaN.
    NotFinite,
}

/// A step of a parameter's matrices.
pub(super) struct OneStep<'a, E: Arithmetic> {
    pub(super) optimizer: &'a Spectral,
    pub(super) assigned: &'a Assigned,
    pub(super) backend: &'a BurnBackend<E>,
    pub(super) dtype: DType,
    pub(super) rates: Rates,
}

impl<E: Arithmetic> OneStep<'_, E> {
    /// Of one matrix, whose state has taken `steps`.
    pub(super) fn apply(
        &self,
        weights: &mut BurnMatrix<E>,
        gradient: &Gradient<'_, BurnMatrix<E>>,
        (state, steps): (&mut State<BurnMatrix<E>>, u64),
    ) -> Result<Stepped> {
        let mut block = BlockState { state: std::mem::take(state), steps };
        let done = self.optimizer.shared().with_workspace(self.backend, |w| {
            let step = |rule: &dyn UpdateRule<_>| block.step(rule, weights, gradient, self.rates, w);
            self.assigned.with_rule::<E, _>(self.dtype, step)
        });
        *state = block.state;
        match done {
            // As in the core: nobody asked for the check, and the image of such a matrix is NaN.
            Err(error)
                if !self.optimizer.check_finite && matches!(error.kind(), ErrorKind::NonFinite { .. }) =>
            {
                if let Some(master) = state.get_mut(MASTER) {
                    master.scale_add(f64::NAN.into(), f64::NAN.into(), gradient.values)?;
                }
                weights.scale_add(f64::NAN.into(), f64::NAN.into(), gradient.values)?;
                Ok(Stepped::NotFinite)
            }
            done => done.map(|_| if weights.has_overflowed() { Stepped::Overflowed } else { Stepped::Whole }),
        }
    }

    /// Of each block, with its own state.
    pub(super) fn apply_to_blocks(
        &self,
        weights: &mut BurnMatrix<E>,
        gradient: &Gradient<'_, BurnMatrix<E>>,
        (blocks, states, steps): (&[Block], &mut [State<BurnMatrix<E>>], u64),
    ) -> Result<Stepped> {
        let (shape, gradients) = (weights.shape(), gradient.values.clone().into_tensor());
        let mut whole = weights.clone().into_tensor();
        let mut stepped = Stepped::Whole;
        for (block, state) in blocks.iter().zip(states) {
            let (mut part, values) =
                (cut(self.backend, &whole, block)?, cut(self.backend, &gradients, block)?);
            let of_block = Gradient { values: &values, scale: gradient.scale };
            stepped = stepped.max(self.apply(&mut part, &of_block, (state, steps))?);
            whole = paste(whole, part, block);
        }
        *weights = self.backend.matrix(whole, shape)?;
        Ok(stepped)
    }
}
