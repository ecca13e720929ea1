//! Operations on the memory of the CPU device, by the loops and products of `spectra_core::faer`.

use super::element::BurnElement;
use super::matrix::{BurnMatrix, Values};
use super::memory::{Operand, flip};
use super::scalar::BurnScalar;
use spectra_core::backend::{Coefficient, Op, Result, Scalar};
use spectra_core::faer::{MatrixMut, MatrixRef};

type Coef<'a> = Coefficient<'a, BurnScalar>;
type Host<'a> = Coefficient<'a, f64>;

/// A coefficient with its device part, if any, on the host, where it is anyway for matrices in memory: on another device
/// the host would have to wait.
pub(super) struct OnHost(f64, Option<f64>);

impl OnHost {
    pub(super) fn new(coefficient: Coef<'_>) -> Result<Self> {
        Ok(Self(coefficient.factor, coefficient.scalar.map(Scalar::read).transpose()?))
    }

    pub(super) fn get(&self) -> Host<'_> {
        Coefficient { factor: self.0, scalar: self.1.as_ref() }
    }
}

impl<E: BurnElement> BurnMatrix<E> {
    /// Runs the entrywise `f(self, (beta, alpha), operands)` on memory; false if a matrix is not in memory.
    pub(super) fn change<const R: usize>(
        &mut self,
        (beta, alpha): (Coef<'_>, Coef<'_>),
        operands: [&Self; R],
        f: impl FnOnce(&mut MatrixMut<'_, E>, (Host<'_>, Host<'_>), [MatrixRef<'_, E>; R]) -> Result<()>,
    ) -> Result<bool> {
        let Values::Memory(out) = &mut self.values else { return Ok(false) };
        let (beta, alpha) = (OnHost::new(beta)?, OnHost::new(alpha)?);
        let transposed = out.is_transposed();
        let operands = operands.map(|x| x.memory().map(|memory| memory.in_order(transposed)));
        let mut views = [MatrixRef::default(); R];
        for (view, operand) in views.iter_mut().zip(&operands) {
            let Some(operand) = operand else { return Ok(false) };
            *view = operand.stored()?;
        }
        f(&mut out.stored_mut()?, (beta.get(), alpha.get()), views)?;
        Ok(true)
    }

    /// Runs the product `f(self, (beta, alpha), A, B)` on memory; false if a matrix is not in memory.
    pub(super) fn multiply(
        &mut self,
        (beta, alpha): (Coef<'_>, Coef<'_>),
        (a, op_a): (&Self, Op),
        (b, op_b): (&Self, Op),
        f: impl FnOnce(MatrixMut<'_, E>, (Host<'_>, Host<'_>), Operand<'_, E>, Operand<'_, E>) -> Result<()>,
    ) -> Result<bool> {
        let (Values::Memory(out), Some(a), Some(b)) = (&mut self.values, a.memory(), b.memory()) else {
            return Ok(false);
        };
        let (beta, alpha) = (OnHost::new(beta)?, OnHost::new(alpha)?);
        // (A B)^T = B^T A^T
        let (a, b) = if out.is_transposed() {
            (b.operand(flip(op_b))?, a.operand(flip(op_a))?)
        } else {
            (a.operand(op_a)?, b.operand(op_b)?)
        };
        f(out.stored_mut()?, (beta.get(), alpha.get()), a, b)?;
        Ok(true)
    }
}
