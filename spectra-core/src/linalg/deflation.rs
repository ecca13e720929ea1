//! The few large directions of a matrix, taken out so exactly that the rest keeps its own accuracy.

use super::orthonormalize::multiply_in_place;
use super::{PowerIteration, SubspaceForm, Workspace, power_of_two};
use crate::backend::{Backend, Coefficient, Element, Error, ErrorKind, Fused, Matrix, Op, Result, Scalar};

/// At most so many directions: the small factorisations of the power iteration run on the host.
pub(crate) const MAX_DEFLATED: usize = 256;

/// Power iterations from random columns: so many of the cheap form, then two of the exact one.
const ITERATIONS: usize = 6;

/// Leading singular triplets of X (m x n) as a power iteration sees them, those not wanted replaced by zero
/// columns.
#[derive(Debug)]
pub(crate) struct Directions<B: Backend> {
    /// Left vectors, m x k.
    pub(crate) u: B::Matrix,
    /// Right vectors, n x k.
    pub(crate) v: B::Matrix,
    /// `X^T U`, n x k.
    pub(crate) w: B::Matrix,
    /// The singular values, decreasing; 0 where not wanted.
    values: [f64; MAX_DEFLATED],
    /// How many are wanted.
    pub(crate) kept: usize,
    /// The smallest singular value of the whole block, wanted or not.
    pub(crate) smallest: f64,
    /// Whether every direction that was wanted by its value had also converged.
    pub(crate) converged: bool,
}

impl<B: Backend> Directions<B> {
    /// The leading `k <= MAX_DEFLATED` directions of `x`, which is not changed. A direction is kept if
    /// `sigma >= least` and its residual `||X v - sigma u|| <= tolerance sigma`. **Waits** for the device, a few
    /// times. 6 mnk flops in each of eight iterations.
    pub(crate) fn leading(
        x: &mut B::Matrix,
        k: usize,
        least: f64,
        tolerance: f64,
        workspace: &mut Workspace<B>,
    ) -> Result<Self> {
        let n = x.shape().1;
        let power = PowerIteration { iterations: ITERATIONS, form: SubspaceForm::ColumnNorms, seed: 2603 };
        let mut v = workspace.take(n, k)?;
        super::write_random(&mut v, power.seed, workspace)?;
        power.iterate(x, None, &mut v, workspace)?.release(workspace);
        let power = PowerIteration { iterations: 2, form: SubspaceForm::Exact, ..power };
        let subspace = power.iterate(x, None, &mut v, workspace)?;
        let (mut u, mut w, scale) = (subspace.u, subspace.w, subspace.scale);

        // sigma_i = ||w_i||, and the residuals R = X V - U diag(sigma).
        let mut values = [0.0; MAX_DEFLATED];
        column_norms(&w, &mut values[..k], workspace)?;
        values[..k].iter_mut().for_each(|s| *s /= scale);
        let smallest = values[..k].iter().fold(f64::INFINITY, |a, s| a.min(*s));
        let diagonal = diagonal(k, &values, workspace)?;
        let mut residual = workspace.take_like(&u, k)?;
        residual.gemm(Coefficient::ZERO, (-1.0).into(), &u, Op::Plain, &diagonal, Op::Plain)?;
        residual.gemm(Coefficient::ONE, Coefficient::ONE, x, Op::Plain, &v, Op::Plain)?;
        let mut residuals = [0.0; MAX_DEFLATED];
        column_norms(&residual, &mut residuals[..k], workspace)?;
        workspace.give(residual);
        workspace.give(diagonal);

        let (mut keep, mut kept, mut converged) = ([0.0; MAX_DEFLATED], 0, true);
        for i in 0..k {
            let settled = residuals[i] <= tolerance * values[i];
            if values[i] >= least {
                converged &= settled;
            }
            if values[i] >= least && settled {
                (keep[i], kept) = (1.0, kept + 1);
            } else {
                values[i] = 0.0;
            }
        }
        let select = self::diagonal(k, &keep, workspace)?;
        multiply_in_place(&mut u, &select, workspace)?;
        multiply_in_place(&mut v, &select, workspace)?;
        multiply_in_place(&mut w, &select, workspace)?;
        workspace.give(select);
        if scale != 1.0 {
            keep.iter_mut().for_each(|x| *x /= scale);
            let unscale = self::diagonal(k, &keep, workspace)?;
            multiply_in_place(&mut w, &unscale, workspace)?;
            workspace.give(unscale);
        }
        Ok(Self { u, v, w, values, kept, smallest, converged })
    }

    /// All directions of `x`, which is not changed: the singular value decomposition, because a block of full rank
    /// converges at once.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] beyond a short side of 256.
    pub(crate) fn all(x: &mut B::Matrix, workspace: &mut Workspace<B>) -> Result<Self> {
        let r = x.shape().0.min(x.shape().1);
        if r > MAX_DEFLATED {
            let what = "Schatten p other than 2 beyond a short side of 256";
            return Err(Error::new("schatten", ErrorKind::Unsupported { what }));
        }
        Self::leading(x, r, 0.0, f64::INFINITY, workspace)
    }

    /// The singular values that were kept, 0 elsewhere.
    pub(crate) fn values(&self) -> &[f64] {
        &self.values[..self.u.shape().1]
    }

    /// `out = (I - U U^T) X (I - V V^T)`, X itself where nothing was kept.
    ///
    /// Subtracting `U W^T` from X in floating point would leave errors of size `eps sigma_1` in the rest. So U
    /// and W are cut into slices of so few bits, `U = U_1 + U_2 + U_3`, that every entry of the products of
    /// two slices is exact, and so is, its result being small,
    ///
    /// `X' = X - U_1 W_1^T - (U_1 W_2^T + U_2 W_1^T)`.
    ///
    /// A projector turns `U_1` into `-(U_2 + U_3)`, hence with bars for projected slices
    ///
    /// `out = (I - U U^T) X' (I - V V^T) + (U_2 + U_3)' W_3'^T - U_2' (W_2 + W_3)'^T`
    ///
    /// which involves small numbers only. Projecting from both sides makes the errors of U and V count squared.
    pub(crate) fn remainder(
        &self,
        x: &B::Matrix,
        out: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        if self.kept == 0 {
            return out.copy_from(x);
        }
        let k = self.u.shape().1;
        let significand = 1.0 - libm::log2(B::Element::EPSILON);
        let bits = libm::floor((significand - libm::ceil(libm::log2(k as f64))) / 2.0);
        let (one, zero, minus) = (Coefficient::ONE, Coefficient::ZERO, Coefficient::from(-1.0));
        let (plain, transposed) = (Op::Plain, Op::Transposed);
        let (u1, mut u23) = split(&self.u, bits, workspace)?;
        let (w1, mut w23) = split(&self.w, bits, workspace)?;
        let (mut u2, u3) = split(&u23, bits, workspace)?;
        let (w2, mut w3) = split(&w23, bits, workspace)?;
        out.gemm(zero, one, &u1, plain, &w1, transposed)?;
        out.scale_add(minus, one, x)?;
        let mut middle = workspace.take_like(x, x.shape().1)?;
        middle.gemm(zero, one, &u1, plain, &w2, transposed)?;
        middle.gemm(one, one, &u2, plain, &w1, transposed)?;
        out.scale_add(one, minus, &middle)?;
        workspace.give(middle);
        self.project(out, workspace)?;
        project_columns(&self.u, &mut u23, workspace)?;
        project_columns(&self.u, &mut u2, workspace)?;
        project_columns(&self.v, &mut w23, workspace)?;
        project_columns(&self.v, &mut w3, workspace)?;
        out.gemm(one, one, &u23, plain, &w3, transposed)?;
        out.gemm(one, minus, &u2, plain, &w23, transposed)?;
        for matrix in [u1, u2, u3, u23, w1, w2, w3, w23] {
            workspace.give(matrix);
        }
        Ok(())
    }

    /// `x <- (I - U U^T) x (I - V V^T)`
    pub(crate) fn project(&self, x: &mut B::Matrix, workspace: &mut Workspace<B>) -> Result<()> {
        let (n, k) = self.v.shape();
        let (one, zero, minus) = (Coefficient::ONE, Coefficient::ZERO, Coefficient::from(-1.0));
        let mut rows = workspace.take(n, k)?;
        rows.gemm(zero, one, x, Op::Transposed, &self.u, Op::Plain)?;
        x.gemm(one, minus, &self.u, Op::Plain, &rows, Op::Transposed)?;
        let mut cols = workspace.take_like(&self.u, k)?;
        cols.gemm(zero, one, x, Op::Plain, &self.v, Op::Plain)?;
        x.gemm(one, minus, &cols, Op::Plain, &self.v, Op::Transposed)?;
        workspace.give(rows);
        workspace.give(cols);
        Ok(())
    }

    /// `x <- x + U diag(f(sigma)) V^T` over the kept directions.
    pub(crate) fn add(
        &self,
        f: impl Fn(f64) -> f64,
        x: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let k = self.u.shape().1;
        let mapped = self.values.map(|s| if s > 0.0 { f(s) } else { 0.0 });
        let diagonal = diagonal(k, &mapped, workspace)?;
        let mut left = workspace.take_like(&self.u, k)?;
        left.gemm(Coefficient::ZERO, Coefficient::ONE, &self.u, Op::Plain, &diagonal, Op::Plain)?;
        x.gemm(Coefficient::ONE, Coefficient::ONE, &left, Op::Plain, &self.v, Op::Transposed)?;
        workspace.give(left);
        workspace.give(diagonal);
        Ok(())
    }

    /// Returns the temporaries.
    pub(crate) fn release(self, workspace: &mut Workspace<B>) {
        workspace.give(self.u);
        workspace.give(self.v);
        workspace.give(self.w);
    }
}

/// `x <- (I - Q Q^T) x`
fn project_columns<B: Backend>(q: &B::Matrix, x: &mut B::Matrix, workspace: &mut Workspace<B>) -> Result<()> {
    let k = q.shape().1;
    let mut inner = workspace.take(k, k)?;
    inner.gemm(Coefficient::ZERO, Coefficient::ONE, q, Op::Transposed, x, Op::Plain)?;
    x.gemm(Coefficient::ONE, (-1.0).into(), q, Op::Plain, &inner, Op::Plain)?;
    workspace.give(inner);
    Ok(())
}

/// `x = high + low` exactly, `high` a multiple of `2^-bits` times the power of two next above the largest entry:
/// adding and subtracting 1.5 / eps such units rounds to them.
fn split<B: Backend>(
    x: &B::Matrix,
    bits: f64,
    workspace: &mut Workspace<B>,
) -> Result<(B::Matrix, B::Matrix)> {
    let (rows, cols) = x.shape();
    let largest = x.max_abs()?.read()?;
    let mut high = workspace.take_like(x, cols)?;
    let mut low = workspace.take_like(x, cols)?;
    low.copy_from(x)?;
    let mut ones = workspace.take_like(x, cols)?;
    let (values, _) = workspace.scratch.slices(rows * cols, 0);
    values.fill(num_traits::One::one());
    ones.write(values)?;
    let unit = 2.0 * power_of_two(largest.max(super::tiny::<B::Element>())) * libm::exp2(-bits);
    let shift = 1.5 * unit / B::Element::EPSILON;
    let one = Coefficient::ONE;
    high.scale_add(Coefficient::ZERO, shift.into(), &ones)?;
    high.scale_add(one, one, x)?;
    high.scale_add(one, (-shift).into(), &ones)?;
    low.scale_add(one, (-1.0).into(), &high)?;
    workspace.give(ones);
    Ok((high, low))
}

/// The norms of the columns. Waits.
fn column_norms<B: Backend>(x: &B::Matrix, norms: &mut [f64], workspace: &mut Workspace<B>) -> Result<()> {
    let k = norms.len();
    let mut gram = workspace.take(k, k)?;
    gram.gemm_symmetric(Coefficient::ZERO, Coefficient::ONE, x, Op::Transposed, x, Op::Plain)?;
    let (values, _) = workspace.scratch.slices(k * k, 0);
    gram.read(values)?;
    for (norm, square) in norms.iter_mut().zip(values.iter().step_by(k + 1)) {
        *norm = libm::sqrt(square.widen());
    }
    workspace.give(gram);
    Ok(())
}

/// `diag(values)`, k x k.
fn diagonal<B: Backend>(k: usize, values: &[f64], workspace: &mut Workspace<B>) -> Result<B::Matrix> {
    let mut matrix = workspace.take(k, k)?;
    let (entries, _) = workspace.scratch.slices(k * k, 0);
    entries.fill(num_traits::Zero::zero());
    for (entry, value) in entries.iter_mut().step_by(k + 1).zip(values) {
        *entry = B::Element::narrow(*value);
    }
    matrix.write(entries)?;
    Ok(matrix)
}
