//! The Gram form of a polynomial iteration: everything on the symmetric r x r side.

use super::polar::{Stretch, coefficients};
use super::{OddPolynomial, Workspace};
use crate::backend::{Backend, Coef, Coefficient, Fused, Matrix, Op, Result, Scalar};

/// `Q` with `Q X = p_k(... p_1(X))`, from `R = X X^T` alone. With `p(x) = x (a + b x^2 + c x^4)` a step is
///
/// `W = b R + c R^2`, `Q <- a Q + W Q`, `T = a R + W R`, `R <- a T + W T`
///
/// so that an eigenvalue `x^2` of R becomes `p(x)^2` and Q collects `p(x) / x`. All matrices are symmetric in exact arithmetic and
/// commute. a never enters a matrix that is rounded before it is multiplied (`a I + W` would lose W's last bits to it), except as the first Q:
/// Gram Newton-Schulz (Dao-AILab, 2026) does the same. Of a symmetric R given with errors of size eps the result has a relative
/// error of about `eps / smallest eigenvalue`, and eigenvalues that rounding made negative grow `a^2`-fold in each step: hence the
/// restarts of [`Polar`](super::Polar).
#[derive(Debug)]
pub(crate) struct Coupled<B: Backend> {
    /// Towards the identity.
    pub(crate) r: B::Matrix,
    /// The product of the steps.
    pub(crate) q: B::Matrix,
    w: B::Matrix,
    t: B::Matrix,
    /// Whether w holds `R^2`.
    squared: bool,
    /// Whether they are iterates in the backend's format.
    iterates: bool,
    /// Matrix products so far.
    pub(crate) products: usize,
}

impl<B: Backend> Coupled<B> {
    /// For n x n matrices in the element type; R is to be written.
    pub(crate) fn new(n: usize, workspace: &mut Workspace<B>) -> Result<Self> {
        let mut take = || workspace.take(n, n);
        Ok(Self {
            r: take()?,
            q: take()?,
            w: take()?,
            t: take()?,
            squared: false,
            iterates: false,
            products: 0,
        })
    }

    /// For n x n [iterates](Backend::iterate_format); R is to be written.
    pub(crate) fn of_iterates(n: usize, workspace: &mut Workspace<B>) -> Result<Self> {
        let mut take = || workspace.take_iterate(n, n);
        Ok(Self {
            r: take()?,
            q: take()?,
            w: take()?,
            t: take()?,
            squared: false,
            iterates: true,
            products: 0,
        })
    }

    /// The same of this R, and its square where the caller has it, both in the element type.
    pub(crate) fn of(r: B::Matrix, square: Option<B::Matrix>, workspace: &mut Workspace<B>) -> Result<Self> {
        let n = r.shape().0;
        let squared = square.is_some();
        let r = workspace.iterate_of(r)?;
        let w = match square {
            Some(square) => workspace.iterate_of(square)?,
            None => workspace.take_iterate(n, n)?,
        };
        let (q, t) = (workspace.take_iterate(n, n)?, workspace.take_iterate(n, n)?);
        Ok(Self { r, q, w, t, squared, iterates: true, products: 0 })
    }

    /// `R^2`, of an R that was written.
    pub(crate) fn square(&mut self) -> Result<&B::Matrix> {
        if !self.squared {
            let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
            self.w.gemm_symmetric(zero, one, &self.r, Op::Plain, &self.r, Op::Plain)?;
            (self.squared, self.products) = (true, self.products + 1);
        }
        Ok(&self.w)
    }

    /// An upper bound of `||E||`, `E = I - R`: `min(||E||_F, ||E^2||_F^(1/2))`, the second at most `r^(1/4)` times too large, with what a
    /// rounding of R and `R^2`, both next to I, may add in the Frobenius norm. **Waits**.
    pub(crate) fn residual(&mut self, workspace: &mut Workspace<B>) -> Result<f64> {
        self.square()?;
        let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
        let n = self.r.shape().0;
        let identity = workspace.identity(n)?;
        self.t.scale_add(zero, one, &identity)?;
        self.t.scale_add(one, (-1.0).into(), &self.r)?;
        let first = self.t.dot(&self.t)?.sqrt()?.read()?;
        // I - 2 R + R^2.
        self.t.scale_add(one, (-1.0).into(), &self.r)?;
        self.t.scale_add(one, one, &self.w)?;
        workspace.give_identity(identity);
        let second = self.t.dot(&self.t)?.sqrt()?.read()?;
        let rounding = 4.0 * workspace.backend().product_epsilon() * libm::sqrt(n as f64);
        Ok((first + rounding).min(libm::sqrt(second + rounding)))
    }

    /// `W = b R + c R^2`, which is returned.
    pub(crate) fn polynomial(&mut self, [_, b, c]: [Coef<'_, B::Matrix>; 3]) -> Result<&B::Matrix> {
        if self.squared || c.is_zero() {
            self.w.scale_add(c, b, &self.r)?;
        } else {
            self.w.gemm_symmetric(Coefficient::ZERO, c, &self.r, Op::Plain, &self.r, Op::Plain)?;
            self.w.scale_add(Coefficient::ONE, b, &self.r)?;
            self.products += 1;
        }
        self.squared = false;
        Ok(&self.w)
    }

    /// Runs the steps on the R at hand, the first stretched; R is left out of the last. Q is the identity without any.
    pub(crate) fn run(
        &mut self,
        polynomials: impl Iterator<Item = OddPolynomial>,
        stretch: Option<&Stretch<B::Scalar>>,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
        let plain = Op::Plain;
        let identity = workspace.identity(self.q.shape().0)?;
        let mut polynomials = polynomials.peekable();
        let mut first = true;
        if polynomials.peek().is_none() {
            self.q.copy_from(&identity)?;
        }
        while let Some(p) = polynomials.next() {
            let [a, b, c] = coefficients(&p, stretch.filter(|_| first));
            self.polynomial([a, b, c])?;
            if first {
                self.q.scale_add(zero, a, &identity)?;
                self.q.scale_add(one, one, &self.w)?;
            } else {
                self.t.scale_add(zero, a, &self.q)?;
                self.t.gemm_symmetric(one, one, &self.w, plain, &self.q, plain)?;
                core::mem::swap(&mut self.q, &mut self.t);
                self.products += 1;
            }
            if polynomials.peek().is_some() {
                self.t.scale_add(zero, a, &self.r)?;
                self.t.gemm_symmetric(one, one, &self.w, plain, &self.r, plain)?;
                self.r.scale_add(zero, a, &self.t)?;
                self.r.gemm_symmetric(one, one, &self.w, plain, &self.t, plain)?;
                self.products += 2;
            }
            first = false;
        }
        workspace.give_identity(identity);
        Ok(())
    }

    /// Returns the temporaries.
    pub(crate) fn release(self, workspace: &mut Workspace<B>) {
        for matrix in [self.r, self.q, self.w, self.t] {
            if self.iterates {
                workspace.give_iterate(matrix);
            } else {
                workspace.give(matrix);
            }
        }
    }
}
