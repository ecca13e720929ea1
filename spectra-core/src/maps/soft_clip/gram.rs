//! The Gram matrix on the short side, the bound that follows from it, and the coupled iteration.

use crate::backend::{Backend, Coefficient, Element, Fused, Matrix, Op, Result, Scalar};
use crate::linalg::{Coupled, Info, Schedule, Workspace};

/// `G = gamma X X^T` (or `X^T X`) and `G^2`, both r x r.
#[derive(Debug)]
pub(super) struct Gram<B: Backend> {
    pub(super) wide: bool,
    pub(super) matrix: B::Matrix,
    square: B::Matrix,
}

impl<B: Backend> Gram<B> {
    /// Two products.
    pub(super) fn new(x: &B::Matrix, gamma: f64, workspace: &mut Workspace<B>) -> Result<Self> {
        let (m, n) = x.shape();
        let (wide, r) = (m <= n, m.min(n));
        let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
        let (left, right) = if wide { (Op::Plain, Op::Transposed) } else { (Op::Transposed, Op::Plain) };
        let mut matrix = workspace.take(r, r)?;
        matrix.gemm_symmetric(zero, gamma.into(), x, left, x, right)?;
        let mut square = workspace.take(r, r)?;
        square.gemm_symmetric(zero, one, &matrix, Op::Plain, &matrix, Op::Plain)?;
        Ok(Self { wide, matrix, square })
    }

    /// `||G|| <= (tr G^4)^{1/4} = ||G^2||_F^{1/2}`, at most `r^{1/4}` times too large. **Waits** for one number.
    pub(super) fn bound(&self) -> Result<f64> {
        let fourth = self.square.dot(&self.square)?.sqrt()?.sqrt()?.read()?;
        // The rounding errors of the two products and of the norm.
        Ok(fourth * (1.0 + 16.0 * B::Element::EPSILON))
    }

    /// `(tr G)^2 / tr G^2`: the number of values that carry the spectrum, between 1 and r. Waits for a number.
    pub(super) fn effective_rank(&self, workspace: &mut Workspace<B>) -> Result<f64> {
        let identity = workspace.identity(self.matrix.shape().0)?;
        let trace = self.matrix.dot(&identity)?;
        workspace.give_identity(identity);
        let (trace, square) = (trace.read()?, self.matrix.dot(&self.matrix)?.read()?);
        Ok(trace * trace / square)
    }

    /// `A = (I + kappa G) / alpha` and `A^2`.
    pub(super) fn shifted(
        &self,
        kappa: f64,
        alpha: f64,
        workspace: &mut Workspace<B>,
    ) -> Result<(B::Matrix, B::Matrix)> {
        let r = self.matrix.shape().0;
        let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
        let identity = workspace.identity(r)?;
        let mut a = workspace.take(r, r)?;
        a.scale_add(zero, (1.0 / alpha).into(), &identity)?;
        a.scale_add(one, (kappa / alpha).into(), &self.matrix)?;
        let mut square = workspace.take(r, r)?;
        square.scale_add(zero, (1.0 / alpha / alpha).into(), &identity)?;
        square.scale_add(one, (2.0 * kappa / alpha / alpha).into(), &self.matrix)?;
        square.scale_add(one, ((kappa / alpha) * (kappa / alpha)).into(), &self.square)?;
        workspace.give_identity(identity);
        Ok((a, square))
    }

    /// `out = A^{-1/2} X / sqrt(alpha)` by the coupled iteration: for `s` minimax steps `4 s - 1` products,
    /// the two of the Gram matrix included, one less if the last step is a cubic. Rounding leaves a relative error of about `0.1 eps alpha`.
    pub(super) fn clip(
        &self,
        x: &B::Matrix,
        kappa: f64,
        alpha: f64,
        tolerance: f64,
        out: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Info> {
        let lower = 1.0 / libm::sqrt(alpha);
        let (plan, steps, error) = Schedule::Minimax.plan(lower, tolerance);
        let (a, square) = self.shifted(kappa, alpha, workspace)?;
        let mut state = Coupled::of(a, Some(square), workspace)?;
        state.run(plan, None, workspace)?;
        let (zero, factor) = (Coefficient::ZERO, Coefficient::from(lower));
        if self.wide {
            out.gemm(zero, factor, &state.q, Op::Plain, x, Op::Plain)?;
        } else {
            out.gemm(zero, factor, x, Op::Plain, &state.q, Op::Plain)?;
        }
        let products = state.products + 3;
        state.release(workspace);
        let accuracy = Some(error + B::Element::EPSILON * (2.0 + 0.2 * alpha));
        Ok(Info { steps, products, accuracy, ..Info::default() })
    }

    /// Returns the temporaries.
    pub(super) fn release(self, workspace: &mut Workspace<B>) {
        workspace.give(self.matrix);
        workspace.give(self.square);
    }
}
