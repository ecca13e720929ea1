//! The steps on X, with the Gram matrix on its short side.

use super::normalize::{Stretch, coefficients};
use crate::backend::{Backend, Coef, Coefficient, Fused, Matrix, Op, Result};
use crate::linalg::{Coupled, OddPolynomial, Workspace};

/// The temporaries of a polynomial iteration on X.
#[derive(Debug)]
pub(super) struct OnShortSide<B: Backend> {
    wide: bool,
    side: Coupled<B>,
    /// By which the polynomial of the first step is stretched.
    stretch: Option<Stretch<B::Scalar>>,
    multiplications: usize,
}

impl<B: Backend> OnShortSide<B> {
    pub(super) fn new(x: &B::Matrix, workspace: &mut Workspace<B>) -> Result<Self> {
        let (m, n) = x.shape();
        Ok(Self {
            wide: m <= n,
            side: Coupled::of_iterates(m.min(n), workspace)?,
            stretch: None,
            multiplications: 0,
        })
    }

    /// Matrix products so far.
    pub(super) fn products(&self) -> usize {
        self.side.products + self.multiplications
    }

    pub(super) fn release(self, workspace: &mut Workspace<B>) {
        self.side.release(workspace);
    }

    /// `R = X X^T` or `X^T X`.
    pub(super) fn form(&mut self, x: &B::Matrix) -> Result<()> {
        self.multiplications += 1;
        gram(self.wide, x, &mut self.side.r)
    }

    /// The same, and the Gram bound of X, to divide by in the step that follows. Entries of `R^2`, about `1 / r^2`, are too small for
    /// 16 bits: both are formed in the element type then, at the price of forming `R^2` twice.
    pub(super) fn form_bounded(&mut self, x: &B::Matrix, workspace: &mut Workspace<B>) -> Result<()> {
        if workspace.backend().iterate_format().is_none() {
            self.form(x)?;
            self.stretch = Some(Stretch::of_gram_bound(self.side.square()?, workspace.backend())?);
            return Ok(());
        }
        let (one, zero, plain) = (Coefficient::ONE, Coefficient::ZERO, Op::Plain);
        let n = self.side.r.shape().0;
        let (mut r, mut square) = (workspace.take(n, n)?, workspace.take(n, n)?);
        gram(self.wide, x, &mut r)?;
        square.gemm_symmetric(zero, one, &r, plain, &r, plain)?;
        self.stretch = Some(Stretch::of_gram_bound(&square, workspace.backend())?);
        self.side.r.copy_from(&r)?;
        workspace.give(r);
        workspace.give(square);
        self.multiplications += 2;
        Ok(())
    }

    /// An upper bound of `||I - X X^T||` for the X whose Gram matrix was [formed](Self::form): `min(||E||_F, ||E^2||_F^(1/2))`. **Waits**.
    pub(super) fn residual(&mut self, workspace: &mut Workspace<B>) -> Result<f64> {
        self.side.residual(workspace)
    }

    /// `next` becomes what the polynomials make of X, whose Gram matrix was [formed](Self::form): one step as
    /// `a X + W X`, several as `Q X`.
    pub(super) fn advance(
        &mut self,
        x: &B::Matrix,
        next: &mut B::Matrix,
        mut polynomials: impl Iterator<Item = OddPolynomial>,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let stretch = self.stretch.take();
        let Some(first) = polynomials.next() else { return next.copy_from(x) };
        let mut rest = polynomials.peekable();
        if rest.peek().is_none() {
            let [a, b, c] = coefficients(&first, stretch.as_ref());
            let w = self.side.polynomial([a, b, c])?;
            return multiply(self.wide, a, w, x, next, &mut self.multiplications);
        }
        self.side.run(core::iter::once(first).chain(rest), stretch.as_ref(), workspace)?;
        multiply(self.wide, Coefficient::ZERO, &self.side.q, x, next, &mut self.multiplications)
    }
}

/// `r = X X^T` or `X^T X`.
fn gram<M: Fused>(wide: bool, x: &M, r: &mut M) -> Result<()> {
    let (left, right) = if wide { (Op::Plain, Op::Transposed) } else { (Op::Transposed, Op::Plain) };
    r.gemm_symmetric(Coefficient::ZERO, Coefficient::ONE, x, left, x, right)
}

/// `next = a X + F X` or `a X + X F`.
fn multiply<M: Matrix>(
    wide: bool,
    a: Coef<'_, M>,
    f: &M,
    x: &M,
    next: &mut M,
    multiplications: &mut usize,
) -> Result<()> {
    let (one, mut beta) = (Coefficient::ONE, Coefficient::ZERO);
    if !a.is_zero() {
        next.scale_add(beta, a, x)?;
        beta = one;
    }
    *multiplications += 1;
    if wide {
        next.gemm(beta, one, f, Op::Plain, x, Op::Plain)
    } else {
        next.gemm(beta, one, x, Op::Plain, f, Op::Plain)
    }
}
