//! What a subspace leaves of a matrix, and what is made of it.

use super::TailShrink;
use super::upper::Upper;
use crate::backend::{Backend, Coef, Coefficient, Element, Fused, Matrix, Op, Result, Scalar, ScalarOp};
use crate::linalg::{Subspace, Workspace};
use crate::rules::Energy;

/// The shaped matrix `O = tail M - left right^T`, kept factored: no m x n temporary.
#[derive(Debug)]
pub struct Shaped<B: Backend> {
    /// The factor of M: [`TailShrink::tail`](super::TailShrink::tail).
    pub tail: f64,
    /// `left` (m x k) and `right` (n x k); `None` where the map is the identity, whatever the factor.
    pub correction: Option<(B::Matrix, B::Matrix)>,
    /// `||O||_F^2`.
    pub norm_squared: B::Scalar,
    /// The tail's average scale; 0 for an empty tail.
    pub sigma_tail: B::Scalar,
    /// As [`Subspace::one_sweep`].
    pub one_sweep: Option<bool>,
    /// What the subspace captures; `None` where there is none.
    pub energy: Option<Energy<B::Scalar>>,
}

impl<B: Backend> Shaped<B> {
    /// `out = beta out + alpha O`, with the M that it was made of.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn add_to(
        &self,
        out: &mut B::Matrix,
        beta: Coef<'_, B::Matrix>,
        alpha: Coef<'_, B::Matrix>,
        m: &B::Matrix,
    ) -> Result<()> {
        let Some((left, right)) = &self.correction else { return out.scale_add(beta, alpha, m) };
        if self.tail == 1.0 {
            return out.low_rank_add(beta, alpha, m, left, right);
        }
        out.scale_add(beta, alpha.times(self.tail), m)?;
        out.gemm(Coefficient::ONE, alpha.times(-1.0), left, Op::Plain, right, Op::Transposed)
    }

    /// Returns the temporaries to the pool.
    pub fn release(self, workspace: &mut Workspace<B>) {
        if let Some((left, right)) = self.correction {
            workspace.give(left);
            workspace.give(right);
        }
    }
}

/// On which side of M the orthonormal basis multiplies.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Side {
    /// The spike is `U W^T`.
    Left,
    /// The spike is `W U^T`.
    Right,
}

/// The spike `U W^T` and the norms of what it leaves.
pub(super) struct Measured<B: Backend> {
    side: Side,
    pub(super) subspace: Subspace<B>,
    /// `||V||_F^2` of the polar part `U V^T`.
    v_squared: B::Scalar,
    /// `||tail||_F^2`, 0 where there is none.
    tail: B::Scalar,
    /// 1 where there is a tail, else 0.
    has_tail: B::Scalar,
    sigma_tail: B::Scalar,
}

impl<B: Backend> Measured<B> {
    pub(super) fn new(
        m: &B::Matrix,
        side: Side,
        subspace: Subspace<B>,
        v: &B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Self> {
        use ScalarOp::{Div, Less, Max, Mul, Sub};
        let combine = <B::Scalar as Scalar>::combine;
        let backend = workspace.backend().clone();
        let number = |x: f64| backend.scalar(x);
        let (rows, cols) = m.shape();
        let (r, k) = (rows.min(cols), v.shape().1);
        let eps = <B::Element as Element>::EPSILON;
        let Subspace { u, w, scale, norm_squared, squares, .. } = &subspace;
        let (w_squared, v_squared) = match squares {
            Some(squares) => squares.clone(),
            None => (w.dot(w)?, v.dot(v)?),
        };
        let unscale = number(1.0 / (scale * scale))?;
        let spike = combine(Mul, &w_squared, &unscale)?;
        let mut tail = combine(Max, &combine(Sub, norm_squared, &spike)?, &number(0.0)?)?;
        let mut empty_below = 8.0 * eps;
        if let (Some(tail_known), Some(all)) = (tail.known(), norm_squared.known())
            && tail_known < libm::sqrt(eps) * all
        {
            let mut residual = workspace.take_like(m, cols)?;
            let (left, right) = if side == Side::Left { (u, w) } else { (w, u) };
            // W carries `scale`, so the residual does.
            residual.scale_add(Coefficient::ZERO, (*scale).into(), m)?;
            residual.gemm(Coefficient::ONE, (-1.0).into(), left, Op::Plain, right, Op::Transposed)?;
            tail = combine(Mul, &residual.dot(&residual)?, &unscale)?;
            workspace.give(residual);
            empty_below = 256.0 * eps * eps * (rows + cols) as f64;
        }
        let threshold = combine(Mul, norm_squared, &number(empty_below)?)?;
        let has_tail = combine(Less, &threshold, &tail)?;
        tail = combine(Mul, &tail, &has_tail)?;
        let sigma_tail = combine(Div, &tail, &number((r - k) as f64)?)?.sqrt()?;
        Ok(Self { side, subspace, v_squared, tail, has_tail, sigma_tail })
    }

    /// Whether the host knows that a basis of which `live` columns are not zero spans no dominant subspace: see
    /// [`TailShrink::refresh_every`].
    pub(super) fn is_stale(&self, m: &B::Matrix, live: usize) -> bool {
        let ((rows, cols), k) = (m.shape(), self.subspace.u.shape().1);
        let (Some(tail), Some(all)) = (self.tail.known(), self.subspace.norm_squared.known()) else {
            return false;
        };
        let spike = (all - tail) / k as f64;
        tail > 0.0 && (live < k || spike < tail / (rows.min(cols) - k) as f64)
    }

    /// The correction `U (s W - sigma_tail V)^T` with the `factor` s of the tail, and the norm.
    pub(super) fn shape(
        self,
        options: &TailShrink,
        v: &B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Shaped<B>> {
        use ScalarOp::{Add, Mul, Sub};
        let combine = <B::Scalar as Scalar>::combine;
        let factor = options.tail;
        let Self { side, subspace, v_squared, mut tail, has_tail, sigma_tail } = self;
        let Subspace { u, mut w, scale, norm_squared, one_sweep, .. } = subspace;

        let energy = Some(Energy { total: norm_squared.clone(), tail: tail.clone() });
        // ||O||^2 = s^2 ||tail||^2 + sigma_tail^2 ||V||^2, or ||M||^2 where the map is the identity.
        let shrunk = combine(Mul, &combine(Mul, &sigma_tail, &sigma_tail)?, &v_squared)?;
        let no_tail = combine(Sub, &workspace.backend().scalar(1.0)?, &has_tail)?;
        let kept = combine(Mul, &no_tail, &norm_squared)?;
        // What is taken off W: all that the tail's factor leaves of it, but once less where the map is the identity, whose tail is 0.
        let mut removed = has_tail.clone();
        if factor != 1.0 {
            let number = |x: f64| workspace.backend().scalar(x);
            tail = combine(Mul, &tail, &number(factor * factor)?)?;
            removed = combine(Sub, &number(factor)?, &no_tail)?;
        }
        let mut norm_squared = combine(Add, &combine(Add, &tail, &shrunk)?, &kept)?;
        let upper = match options.upper_rank(v.shape().1) {
            Some(rank) => {
                let upper = Upper::new((&w, scale), v, rank, (&sigma_tail, &has_tail), workspace)?;
                norm_squared = combine(Add, &norm_squared, &upper.added)?;
                Some(upper)
            }
            None => None,
        };

        // W <- s W - sigma_tail V, or (s - 1) W where the map is the identity (sigma_tail is 0 there).
        w.scale_add(Coefficient::device(1.0 / scale, &removed), Coefficient::device(-1.0, &sigma_tail), v)?;
        if let Some(upper) = upper {
            upper.take_off(&mut w, workspace)?;
        }
        let correction = Some(if side == Side::Left { (u, w) } else { (w, u) });
        Ok(Shaped { tail: factor, correction, norm_squared, sigma_tail, one_sweep, energy })
    }
}
