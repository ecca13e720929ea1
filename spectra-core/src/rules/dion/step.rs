//! The parts of Dion's step, between which ranks send their sums.

use super::{Dion, DionQr};
use crate::backend::{Backend, Coefficient, Fused, Gradient, Matrix, Op, Result};
use crate::linalg::{Workspace, orthonormalize};
use crate::rules::{StepInfo, StepRates};
use crate::state::{MOMENTUM, SUBSPACE, State};

impl Dion {
    /// `M = M + G`, then `M Q`.
    pub(super) fn project<B: Backend>(
        &self,
        gradient: &Gradient<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        workspace: &mut Workspace<B>,
    ) -> Result<B::Matrix> {
        let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
        let shape = gradient.values.shape();
        let (left, rank) = (self.is_left(shape), self.rank(shape));
        let (across, rows) = if left { (Op::Transposed, shape.0) } else { (Op::Plain, shape.1) };
        if state.get(SUBSPACE).is_none() {
            let mut q = workspace.backend().zeros(rows, rank, left.then_some(gradient.values))?;
            q.seed_zero_columns(self.seed, &mut workspace.scratch)?;
            state.put(SUBSPACE, q);
        }
        let [m, q] = state.all_mut([MOMENTUM, SUBSPACE])?;
        m.scale_add(one, gradient.scale, gradient.values)?;

        let mut p =
            if left { workspace.take(shape.1, rank)? } else { workspace.take_like(gradient.values, rank)? };
        p.gemm(zero, one, m, across, q, Op::Plain)?;
        Ok(p)
    }

    /// `P = qr(M Q)` in its place, `R = M^T P`, `M = M - (1 - mu) P R^T`.
    pub(super) fn capture<B: Backend>(
        &self,
        p: &mut B::Matrix,
        state: &mut State<B::Matrix>,
        workspace: &mut Workspace<B>,
    ) -> Result<B::Matrix> {
        let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
        match self.qr {
            DionQr::Cholesky => orthonormalize(p, workspace).map(drop)?,
            DionQr::GramSchmidt => p.gram_schmidt(&mut workspace.scratch)?,
        }
        let [m, q] = state.all_mut([MOMENTUM, SUBSPACE])?;
        let left = self.is_left(m.shape());
        let mut r = workspace.take_like(q, q.shape().1)?;
        r.gemm(zero, one, m, if left { Op::Plain } else { Op::Transposed }, p, Op::Plain)?;
        let (outer, inner): (&B::Matrix, &B::Matrix) = if left { (&r, p) } else { (p, &r) };
        m.gemm(one, (self.mu - 1.0).into(), outer, Op::Plain, inner, Op::Transposed)?;
        Ok(r)
    }

    /// `Q = R` with columns divided by their norms, then the weights.
    pub(super) fn finish<B: Backend>(
        &self,
        weights: &mut B::Matrix,
        (p, r): (B::Matrix, B::Matrix),
        state: &mut State<B::Matrix>,
        rates: &StepRates,
        workspace: &mut Workspace<B>,
    ) -> Result<StepInfo<B::Scalar>> {
        let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
        let shape = weights.shape();
        let left = self.is_left(shape);
        let [q] = state.all_mut([SUBSPACE])?;
        let (rows, rank) = q.shape();

        // Every column's square in each of its rows.
        let (row, column) = (workspace.ones(1, rows)?, workspace.ones(rows, 1)?);
        let (mut squares, mut sums) = (workspace.take_like(q, rank)?, workspace.take(1, rank)?);
        squares.product_add(zero, one, &r, &r)?;
        sums.gemm(zero, one, &row, Op::Plain, &squares, Op::Plain)?;
        squares.gemm(zero, one, &column, Op::Plain, &sums, Op::Plain)?;
        // Q is kept where there is nothing to divide.
        let (mut alive, mut old) = (workspace.take_like(q, rank)?, workspace.take_like(q, rank)?);
        alive.sign_add(zero, one, &squares)?;
        old.copy_from(q)?;
        q.product_add(one, (-1.0).into(), &alive, &old)?;
        q.quotient_add(one, one, &r, &squares, self.eps)?;
        for matrix in [r, squares, sums, alive, old] {
            workspace.give(matrix);
        }
        workspace.give_ones(row);
        workspace.give_ones(column);

        let step = -rates.lr * libm::sqrt(shape.0 as f64 / shape.1 as f64);
        let (outer, inner): (&B::Matrix, &B::Matrix) = if left { (q, &p) } else { (&p, q) };
        weights.gemm(rates.decay().into(), step.into(), outer, Op::Plain, inner, Op::Transposed)?;
        workspace.give(p);
        Ok(StepInfo::default())
    }
}
