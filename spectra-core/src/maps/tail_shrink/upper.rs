//! The upper step of a staircase: the first directions of the spike, shrunk to the scale of its others.

use crate::backend::{Backend, Coefficient, Matrix, Op, Result, Scalar, ScalarOp};
use crate::linalg::Workspace;

/// `sigma_upper - sigma_tail`, 0 where there is no tail, and the first columns of V that it multiplies.
pub(super) struct Upper<B: Backend> {
    leading: B::Matrix,
    first: B::Matrix,
    raise: B::Scalar,
    /// What the raise adds to `||O||_F^2`.
    pub(super) added: B::Scalar,
}

impl<B: Backend> Upper<B> {
    /// Of `w`, which carries `scale`, and V, n x k both; `rank` from 1 to k - 1.
    pub(super) fn new(
        (w, scale): (&B::Matrix, f64),
        v: &B::Matrix,
        rank: usize,
        (sigma_tail, has_tail): (&B::Scalar, &B::Scalar),
        workspace: &mut Workspace<B>,
    ) -> Result<Self> {
        use ScalarOp::{Mul, Sub};
        let combine = <B::Scalar as Scalar>::combine;
        let ((zero, one), k) = ((Coefficient::ZERO, Coefficient::ONE), v.shape().1);
        let leading = workspace.leading(k, rank)?;
        let (mut first, mut rest) = (workspace.take_like(w, rank)?, workspace.take_like(w, k)?);
        // W without its first columns: they cancel exactly.
        first.gemm(zero, one, w, Op::Plain, &leading, Op::Plain)?;
        rest.copy_from(w)?;
        rest.gemm(one, (-1.0).into(), &first, Op::Plain, &leading, Op::Transposed)?;
        let number = |x: f64| workspace.backend().scalar(x);
        let mean = 1.0 / (scale * scale * (k - rank) as f64);
        let square = combine(Mul, &combine(Mul, &rest.dot(&rest)?, &number(mean)?)?, has_tail)?;
        let raise = combine(Sub, &square.sqrt()?, sigma_tail)?;
        first.gemm(zero, one, v, Op::Plain, &leading, Op::Plain)?;
        // (sigma_upper^2 - sigma_tail^2) ||V_1||^2
        let difference = combine(Sub, &square, &combine(Mul, sigma_tail, sigma_tail)?)?;
        let added = combine(Mul, &difference, &first.dot(&first)?)?;
        workspace.give(rest);
        Ok(Self { leading, first, raise, added })
    }

    /// `W <- W - raise V_1`
    pub(super) fn take_off(self, w: &mut B::Matrix, workspace: &mut Workspace<B>) -> Result<()> {
        let Self { leading, first, raise, .. } = self;
        let raise = Coefficient::device(-1.0, &raise);
        w.gemm(Coefficient::ONE, raise, &first, Op::Plain, &leading, Op::Transposed)?;
        workspace.give(first);
        workspace.give_leading(leading);
        Ok(())
    }
}
