//! Operations on the memory of CPU tensors, by the loops and products of `spectra_core::faer`.

use super::element::CandleElement;
use super::matrix::{CandleMatrix, at};
use super::memory;
use super::scalar::CandleScalar;
use spectra_core::backend::{Coefficient, Entrywise, Gradient, Matrix, Result, Scalar};
use spectra_core::faer::{MatrixMut, MatrixRef, Values, ValuesMut};
use std::sync::atomic::AtomicBool;

type Coef<'a> = Coefficient<'a, CandleScalar>;
type Host<'a> = Coefficient<'a, f64>;

/// A coefficient with its device part, if any, on the host (where it is anyway).
struct OnHost(f64, Option<f64>);

impl OnHost {
    fn new(coefficient: Coef<'_>) -> Result<Self> {
        Ok(Self(coefficient.factor, coefficient.scalar.map(Scalar::read).transpose()?))
    }

    fn get(&self) -> Host<'_> {
        Coefficient { factor: self.0, scalar: self.1.as_ref() }
    }
}

impl<E: CandleElement> CandleMatrix<E> {
    /// Runs `f(self, (beta, alpha), operands)` on memory.
    pub(super) fn change<const R: usize>(
        &mut self,
        operation: &'static str,
        beta: Coef<'_>,
        alpha: Coef<'_>,
        operands: [&Self; R],
        f: impl FnOnce(MatrixMut<'_, E>, (Host<'_>, Host<'_>), [MatrixRef<'_, E>; R]) -> Result<()>,
    ) -> Result<()> {
        let (beta, alpha) = (OnHost::new(beta)?, OnHost::new(alpha)?);
        Self::change_several(operation, [self], operands, |[out], operands| {
            f(out, (beta.get(), alpha.get()), operands)
        })
    }

    /// Runs `f(written, operands)` on memory.
    fn change_several<R, const W: usize, const N: usize>(
        operation: &'static str,
        mut written: [&mut Self; W],
        operands: [&Self; N],
        f: impl FnOnce([MatrixMut<'_, E>; W], [MatrixRef<'_, E>; N]) -> Result<R>,
    ) -> Result<R> {
        let out_shapes = written.each_ref().map(|x| x.shape());
        let shapes = operands.map(Matrix::shape);
        let tensors = at(operation, Self::prepare(&mut written, operands.map(|x| &x.tensor)))?;
        let overflows = written.each_ref().map(|x| &x.overflow);
        let done = memory::read(tensors.each_ref().map(|t| &**t), |values| {
            memory::write(written.each_ref().map(|x| &x.tensor), |out| {
                f(borrow_mut(out, out_shapes, overflows)?, borrow(values, shapes)?)
            })
        });
        at(operation, done.and_then(|r| r))?
    }

    /// Runs `f` on the memory of matrices.
    pub(super) fn inspect<R, const N: usize>(
        operation: &'static str,
        matrices: [&Self; N],
        f: impl FnOnce([MatrixRef<'_, E>; N]) -> Result<R>,
    ) -> Result<R> {
        let shapes = matrices.map(Matrix::shape);
        let tensors = matrices.map(|x| &x.tensor);
        at(operation, memory::read(tensors, |values| f(borrow(values, shapes)?)))?
    }

    /// [`Backend::entrywise_add`](spectra_core::backend::Backend::entrywise_add) in one pass over memory.
    pub(super) fn entrywise<const N: usize>(
        matrices: [&mut Self; N],
        weights: (f64, f64),
        rule: Entrywise,
        gradient: &Gradient<'_, Self>,
    ) -> Result<()> {
        let values = gradient.values;
        rule.check(&matrices.each_ref().map(|x| x.shape()), values.shape())?;
        let scale = OnHost::new(gradient.scale)?;
        Self::change_several(Entrywise::NAME, matrices, [values], |matrices, [g]| {
            MatrixMut::entrywise_add(matrices, weights, rule, g, scale.get())
        })
    }

    /// [`Fused::power_sweep`] in one pass over memory.
    pub(super) fn sweep(
        &mut self,
        update: Option<(f64, &Gradient<'_, Self>)>,
        alpha: f64,
        v: &Self,
        p: &mut Self,
        gram: &mut Self,
        z: &mut Self,
    ) -> Result<CandleScalar> {
        const NAME: &str = "power_sweep";
        let written = [self, p, gram, z];
        let square = if let Some((mu, gradient)) = update {
            let scale = OnHost::new(gradient.scale)?;
            let operands = [v, gradient.values];
            Self::change_several(NAME, written, operands, |[mut m, mut p, mut gram, mut z], [v, g]| {
                m.power_sweep(Some((mu, g, scale.get())), alpha, v, &mut p, &mut gram, &mut z)
            })
        } else {
            Self::change_several(NAME, written, [v], |[mut m, mut p, mut gram, mut z], [v]| {
                m.power_sweep(None, alpha, v, &mut p, &mut gram, &mut z)
            })
        };
        square.map(CandleScalar::host)
    }
}

/// Row-major values as matrices of these shapes.
fn borrow<'a, E: CandleElement, const N: usize>(
    values: [Values<'a, E>; N],
    shapes: [(usize, usize); N],
) -> Result<[MatrixRef<'a, E>; N]> {
    let mut matrices = [MatrixRef::default(); N];
    for ((matrix, values), (rows, cols)) in matrices.iter_mut().zip(values).zip(shapes) {
        *matrix = MatrixRef::stored(values, rows, cols)?;
    }
    Ok(matrices)
}

/// Row-major values as matrices of these shapes, to change; the flags are raised when 16 bits have no room for a result.
fn borrow_mut<'a, E: CandleElement, const N: usize>(
    values: [ValuesMut<'a, E>; N],
    shapes: [(usize, usize); N],
    overflows: [&'a AtomicBool; N],
) -> Result<[MatrixMut<'a, E>; N]> {
    let mut matrices = std::array::from_fn(|_| MatrixMut::default());
    for (((matrix, values), (rows, cols)), overflow) in
        matrices.iter_mut().zip(values).zip(shapes).zip(overflows)
    {
        *matrix = MatrixMut::stored(values.telling(overflow), rows, cols)?;
    }
    Ok(matrices)
}
