//! The Gram matrix on the short side, and the bound that follows from it.

use crate::backend::{Backend, Coefficient, Element, Fused, Matrix, Op, Result, Scalar};
use crate::linalg::{Coupled, Workspace};

/// `G = gamma X X^T` (or `X^T X`) and `G^2`, both r x r.
#[derive(Debug)]
pub(in crate::maps) struct Gram<B: Backend> {
    pub(in crate::maps) wide: bool,
    pub(in crate::maps) matrix: B::Matrix,
    square: B::Matrix,
}

impl<B: Backend> Gram<B> {
    /// Two products.
    pub(in crate::maps) fn new(x: &B::Matrix, gamma: f64, workspace: &mut Workspace<B>) -> Result<Self> {
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
    pub(in crate::maps) fn bound(&self) -> Result<f64> {
        let fourth = self.square.dot(&self.square)?.sqrt()?.sqrt()?.read()?;
        // The rounding errors of the two products and of the norm.
        Ok(fourth * (1.0 + 16.0 * B::Element::EPSILON))
    }

    /// `(tr G)^2 / tr G^2`: the number of values that carry the spectrum, between 1 and r. Waits for a number.
    pub(in crate::maps) fn effective_rank(&self, workspace: &mut Workspace<B>) -> Result<f64> {
        let identity = workspace.identity(self.matrix.shape().0)?;
        let trace = self.matrix.dot(&identity)?;
        workspace.give_identity(identity);
        let (trace, square) = (trace.read()?, self.matrix.dot(&self.matrix)?.read()?);
        Ok(trace * trace / square)
    }

    /// `A = (I + kappa G) / alpha` and `A^2`.
    fn shifted(
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

    /// `A = (I + kappa G) / alpha` and `A^2` for the coupled iteration.
    pub(in crate::maps) fn coupled(
        &self,
        kappa: f64,
        alpha: f64,
        workspace: &mut Workspace<B>,
    ) -> Result<Coupled<B>> {
        let (a, square) = self.shifted(kappa, alpha, workspace)?;
        Coupled::of(a, Some(square), workspace)
    }

    /// `out = f Q X` or `f X Q`.
    pub(in crate::maps) fn multiply(
        &self,
        f: f64,
        q: &B::Matrix,
        x: &B::Matrix,
        out: &mut B::Matrix,
    ) -> Result<()> {
        let zero = Coefficient::ZERO;
        if self.wide {
            out.gemm(zero, f.into(), q, Op::Plain, x, Op::Plain)
        } else {
            out.gemm(zero, f.into(), x, Op::Plain, q, Op::Plain)
        }
    }

    /// Returns the temporaries.
    pub(in crate::maps) fn release(self, workspace: &mut Workspace<B>) {
        workspace.give(self.matrix);
        workspace.give(self.square);
    }
}
