//! Dion (2504.05295): a low-rank orthonormal update with error feedback.

use super::method::Settings;
use super::{BatchItem, Batching, Dots, GradientLimits, Sharding, StepInfo, StepRates, UpdateRule};
use crate::backend::{Backend, Coefficient, Fused, Gradient, Matrix, Op, Result, domain, require};
use crate::linalg::{Workspace, orthonormalize};
use crate::state::{BufferSpec, MOMENTUM, SUBSPACE, State};
use alloc::{string::String, vec, vec::Vec};

/// The rank r of Dion's update, never above `min(m, n)`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum DionRank {
    /// So many columns, at least 1 (`dion_simple.py`: 768).
    Columns(usize),
    /// `fraction min(m, n)` rounded up to a multiple (`dion_reference.py`: 1.0 and 1).
    Fraction {
        /// In (0, 1].
        fraction: f64,
        /// At least 1.
        multiple_of: usize,
    },
}

/// On which side of M the cached factor Q is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum DionSide {
    /// `M Q`, Q is n x r: `dion_simple.py`.
    Right,
    /// `M^T Q`, Q is m x r.
    Left,
    /// Left for wide matrices, m < n, and right for the others: `dion_reference.py`.
    Short,
}

/// The orthonormalisation of Dion's tall factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum DionQr {
    /// [`orthonormalize`]: Cholesky QR where the columns are well conditioned, twice or by Gram-Schmidt where they are not.
    Cholesky,
    /// Gram-Schmidt with one re-orthogonalisation in `f64` on the host. **Waits** for a device.
    GramSchmidt,
}

/// One step of power iteration on the momentum M gives the update, and only what it captured of M is damped:
///
/// `M = M + G`, `P = qr(M Q)`, `R = M^T P`, `M = M - (1 - mu) P R^T`, `Q = R` with columns divided by (their norm + eps),
/// `X = (1 - lr wd) X - lr sqrt(m / n) P Q^T`,
///
/// or the same of the transposes ([`side`](Self::side)). P (m x r) has orthonormal columns, Q (n x r) only columns of unit length. The
/// signs of P's columns cancel, so any QR will do. Where a column of P is zero, since M has a lower rank or is zero, Q keeps its
/// old column, and M its remainder; the authors' reference does that for M = 0 alone. Q begins with the uniform numbers
/// of tail shrink's seed instead of normal ones.
///
/// Over several ranks M may be the sum of the ranks' momenta, each of its own gradients, as long as `(m + n) r < mn`: only `M Q` and R are summed, and
/// each rank damps its own by its own `M^T P` ([`Mode::LowRank`](crate::distributed::Mode::LowRank)).
///
/// State: `mn + nr` numbers (left: `mn + mr`). Flops: `8 mnr + 4 m r^2`. Nothing waits for a device with
/// [`DionQr::Cholesky`]. Source: arXiv 2504.05295 and github.com/microsoft/dion.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Dion {
    /// mu in [0, 1): what is left of the captured part.
    pub mu: f64,
    /// r.
    pub rank: DionRank,
    /// Where Q is.
    pub side: DionSide,
    /// How P is made.
    pub qr: DionQr,
    /// Added to the norms of R's columns; positive.
    pub eps: f64,
    /// Of the first Q.
    pub seed: u64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

impl Dion {
    /// `dion_simple.py`: mu 0.95, rank 768, decay 0.01, eps 1e-8.
    pub const SIMPLE: Self = Self {
        mu: 0.95,
        rank: DionRank::Columns(768),
        side: DionSide::Right,
        qr: DionQr::Cholesky,
        eps: 1e-8,
        seed: 0,
        weight_decay: 0.01,
    };

    /// `dion_reference.py`: all of `min(m, n)`, on the short side.
    pub const REFERENCE: Self = Self {
        rank: DionRank::Fraction { fraction: 1.0, multiple_of: 1 },
        side: DionSide::Short,
        ..Self::SIMPLE
    };

    /// r for an m x n matrix.
    pub fn rank(&self, (m, n): (usize, usize)) -> usize {
        let short = m.min(n);
        let rank = match self.rank {
            DionRank::Columns(rank) => rank,
            DionRank::Fraction { fraction, multiple_of } => {
                let rank = libm::ceil(fraction * short as f64 / multiple_of as f64);
                (rank as usize).saturating_mul(multiple_of)
            }
        };
        rank.min(short)
    }

    fn is_left(&self, (m, n): (usize, usize)) -> bool {
        match self.side {
            DionSide::Right => false,
            DionSide::Left => true,
            DionSide::Short => m < n,
        }
    }
}

impl Default for Dion {
    /// [`REFERENCE`](Self::REFERENCE).
    fn default() -> Self {
        Self::REFERENCE
    }
}

impl Settings for Dion {
    fn weight_decay_mut(&mut self) -> Option<&mut f64> {
        Some(&mut self.weight_decay)
    }
}

impl<B: Backend> UpdateRule<B> for Dion {
    /// Of other shapes than square ones Q's shape tells the side.
    fn signature(&self) -> String {
        if self.side == DionSide::Left { "dion, left" } else { "dion" }.into()
    }

    fn buffers(&self, shape: (usize, usize)) -> Vec<BufferSpec> {
        let rows = if self.is_left(shape) { shape.0 } else { shape.1 };
        vec![BufferSpec::zeros(MOMENTUM, shape), BufferSpec::made_by_rule(SUBSPACE, (rows, self.rank(shape)))]
    }

    fn flops(&self, shape: (usize, usize)) -> f64 {
        let (m, n, r) = (shape.0 as f64, shape.1 as f64, self.rank(shape) as f64);
        let tall = if self.is_left(shape) { n } else { m };
        8.0 * m * n * r + 4.0 * tall * r * r
    }

    fn sharding(&self, (m, n): (usize, usize)) -> Option<Sharding> {
        let rank = self.rank((m, n));
        let is_low = (m as f64 + n as f64) * (rank as f64) < m as f64 * n as f64;
        is_low.then_some(Sharding::LowRank { rank })
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn validate(&self) -> Result<()> {
        domain::memory::<B::Element>("dion", "mu", self.mu)?;
        domain::square_normal::<B::Element>("dion", "eps", self.eps)?;
        domain::rate::<B::Element>("dion", "weight_decay", self.weight_decay)?;
        match self.rank {
            DionRank::Columns(rank) => require(rank >= 1, "dion", "rank", rank as f64, "at least 1"),
            DionRank::Fraction { fraction, multiple_of } => {
                require(fraction > 0.0 && fraction <= 1.0, "dion", "fraction", fraction, "in (0, 1]")?;
                require(multiple_of >= 1, "dion", "multiple_of", multiple_of as f64, "at least 1")
            }
        }
    }

    /// The squares of R's columns are summed, and what the update does not capture of M is not damped: with room for 2^24 steps.
    fn gradient_limits(&self, _: (usize, usize), _: Dots) -> GradientLimits {
        let norm = libm::sqrt(domain::largest::<B::Element>() / 2.0) / (1u64 << 24) as f64;
        GradientLimits { entry: norm, norm }
    }

    fn reads_weights(&self) -> bool {
        false
    }

    fn step(
        &self,
        weights: &mut B::Matrix,
        gradient: &Gradient<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        rates: &StepRates,
        workspace: &mut Workspace<B>,
    ) -> Result<StepInfo<B::Scalar>> {
        let mut p = self.project(gradient, state, workspace)?;
        B::sum_over_ranks(&mut [&mut p])?;
        let mut r = self.capture(&mut p, state, workspace)?;
        B::sum_over_ranks(&mut [&mut r])?;
        self.finish(weights, (p, r), state, rates, workspace)
    }

    /// Messages for those that are distributed over ranks.
    fn batching(&self) -> Batching {
        if B::DISTRIBUTES { Batching::AnyShape } else { Batching::Alone }
    }

    fn step_batch(&self, blocks: &mut [BatchItem<'_, B>], workspace: &mut Workspace<B>) -> Result<()> {
        if blocks.iter().all(|block| block.gradient.values.layout() == 0) {
            // Nothing to send: the temporaries of one at a time.
            for BatchItem { weights, gradient, state, rates, info, .. } in blocks {
                *info = Some(UpdateRule::<B>::step(self, weights, gradient, state, rates, workspace)?);
            }
            return Ok(());
        }
        let project = |block: &mut BatchItem<'_, B>| self.project(&block.gradient, block.state, workspace);
        let mut ps = blocks.iter_mut().map(project).collect::<Result<Vec<_>>>()?;
        B::sum_over_ranks(&mut ps.iter_mut().collect::<Vec<_>>())?;
        let captured = blocks.iter_mut().zip(&mut ps);
        let captured = captured.map(|(block, p)| self.capture(p, block.state, workspace));
        let mut rs = captured.collect::<Result<Vec<_>>>()?;
        B::sum_over_ranks(&mut rs.iter_mut().collect::<Vec<_>>())?;
        for (BatchItem { weights, state, rates, info, .. }, found) in
            blocks.iter_mut().zip(ps.into_iter().zip(rs))
        {
            *info = Some(self.finish::<B>(weights, found, state, rates, workspace)?);
        }
        Ok(())
    }
}

impl Dion {
    /// `M = M + G`, then `M Q`.
    fn project<B: Backend>(
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
    fn capture<B: Backend>(
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
    fn finish<B: Backend>(
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
