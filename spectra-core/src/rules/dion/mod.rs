//! Dion (2504.05295): a low-rank orthonormal update with error feedback.

mod options;
mod step;

pub use options::{DionQr, DionRank, DionSide};

use super::method::Settings;
use super::{BatchItem, Batching, Dots, GradientLimits, Sharding, StepInfo, StepRates, UpdateRule};
use crate::backend::{Backend, Gradient, Matrix, Result, domain};
use crate::linalg::Workspace;
use crate::state::{BufferSpec, MOMENTUM, SUBSPACE, State};
use alloc::{string::String, vec, vec::Vec};

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
        self.rank.of(m.min(n))
    }

    fn is_left(&self, shape: (usize, usize)) -> bool {
        self.side.is_left(shape)
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
        self.rank.validate()
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
