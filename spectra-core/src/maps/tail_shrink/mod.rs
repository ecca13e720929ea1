//! Tail shrink (2602.11185, Algorithm 1): the few dominant singular values are shrunk to the tail's scale.

mod measured;
mod ramp;
mod shrink;
mod together;
mod upper;

pub use measured::Shaped;
pub use ramp::RankRamp;
pub use shrink::tail_shrink;

use super::{MapItem, MapRule, Mapped, Moment, MomentumUpdate};
use crate::backend::{Backend, Element, Matrix, Op, Result, domain, require};
use crate::linalg::{PowerIteration, SubspaceForm, Workspace, uniform};
use crate::rules::Sharding;
use crate::state::{BufferSpec, SUBSPACE, State};
use alloc::{vec, vec::Vec};

/// How the dominant subspace is chosen and tracked.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct TailShrink {
    /// `k = max(1, round(rank_ratio min(m, n)))`, halves away from zero; in (0, 1].
    pub rank_ratio: f64,
    /// The power iteration.
    pub power: PowerIteration,
    /// The subspace is iterated at every `refresh_every`-th step (1: always, as in the paper's Algorithm 1; its
    /// text says "intermittently"). In between the cached right subspace is kept and only projected on, at
    /// half the flops; but it is iterated before its time where it cannot be the dominant one: where a column of it is
    /// zero although there is a tail, or where it holds less of M than an average subspace of rank k,
    /// `||W||^2 / k < ||tail||^2 / (r - k)`. A backend that does not tell its host the norms without waiting
    /// (a GPU) iterates at every step.
    pub refresh_every: u64,
    /// The factor f of the tail in `O = f tail + sigma_tail U V^T`, in [0, 1000]; 1 in the paper. 0 drops the tail, which leaves the polar factor
    /// of the spike (of the projected matrix, in the [exact form](SubspaceForm::Exact)) times `sigma_tail`; a large one
    /// drops the spike instead. Where there is no tail `O = M`.
    pub tail: f64,
    /// The share of the spike's directions, in [0, 1), the first of them, that are shrunk to the scale of the spike's other directions,
    /// `sigma_upper = ||W_2|| / sqrt(k - k_1)` with `k_1 = round(upper k)`, in the place of `sigma_tail`: a staircase of two
    /// steps, `O = f tail + sigma_tail U_2 V_2^T + sigma_upper U_1 V_1^T`. In the [exact form](SubspaceForm::Exact) the first are those of the largest
    /// singular values. 0, as in the paper: one step. Where there is no tail `O = M`.
    pub upper: f64,
    /// How the rank moves on from `rank_ratio` with the steps; `None`: it stays.
    pub ramp: Option<RankRamp>,
}

impl TailShrink {
    /// The paper's: ratio 0.015, T = 1, column norms, every step.
    pub const PAPER: Self = Self {
        rank_ratio: 0.015,
        power: PowerIteration::PAPER,
        refresh_every: 1,
        tail: 1.0,
        upper: 0.0,
        ramp: None,
    };
}

impl Default for TailShrink {
    /// [`PAPER`](Self::PAPER).
    fn default() -> Self {
        Self::PAPER
    }
}

impl TailShrink {
    /// The spike's rank `k` for an m x n matrix, before any [ramp](Self::ramp); 0 for an empty one.
    pub fn rank(&self, rows: usize, cols: usize) -> usize {
        rank_of(self.rank_ratio, rows.min(cols))
    }

    /// The rank at the matrix's `step`, from 0.
    pub fn rank_at(&self, rows: usize, cols: usize, step: u64) -> usize {
        let ratio = self.ramp.map_or(self.rank_ratio, |ramp| ramp.ratio(self.rank_ratio, step));
        rank_of(ratio, rows.min(cols))
    }

    /// How many of k directions are on the staircase's upper step, if there is one: never all.
    fn upper_rank(&self, k: usize) -> Option<usize> {
        let upper = (libm::round(self.upper * k as f64) as usize).min(k.saturating_sub(1));
        (upper > 0).then_some(upper)
    }

    /// The least and the largest rank of all steps.
    fn ranks(&self, rows: usize, cols: usize) -> (usize, usize) {
        let first = self.rank(rows, cols);
        let last = self.ramp.map_or(first, |ramp| rank_of(ramp.to, rows.min(cols)));
        (first.min(last), first.max(last))
    }

    /// An error if a setting is outside its domain.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the setting's name.
    pub fn validate(&self) -> Result<()> {
        let ratio = self.rank_ratio;
        require(ratio > 0.0 && ratio <= 1.0, "tail_shrink", "rank_ratio", ratio, "in (0, 1]")?;
        self.power.validate()?;
        let every = self.refresh_every;
        require(every >= 1, "tail_shrink", "refresh_every", every as f64, "at least 1")?;
        let tail = self.tail;
        require((0.0..=1000.0).contains(&tail), "tail_shrink", "tail", tail, "in [0, 1000]")?;
        let upper = self.upper;
        require((0.0..1.0).contains(&upper), "tail_shrink", "upper", upper, "in [0, 1)")?;
        self.ramp.map_or(Ok(()), |ramp| ramp.validate())
    }
}

/// `max(1, round(ratio r))`, at most r.
fn rank_of(ratio: f64, r: usize) -> usize {
    (libm::round(ratio * r as f64) as usize).max(1).min(r)
}

impl<B: Backend> MapRule<B> for TailShrink {
    fn name(&self) -> &'static str {
        "tail shrink"
    }

    fn buffers(&self, shape: (usize, usize)) -> Vec<BufferSpec> {
        let (rows, cols) = shape;
        let (least, most) = self.ranks(rows, cols);
        // Where k = r the map is the identity.
        let spec = BufferSpec { narrower: least < most, ..BufferSpec::made_by_rule(SUBSPACE, (cols, most)) };
        (least < rows.min(cols)).then_some(spec).into_iter().collect()
    }

    /// Where the host knows no norms, as on every backend with stacks.
    fn is_uniform(&self) -> bool {
        self.ramp.is_none()
    }

    /// `6 mnk` an iteration, with the mean of the ranks of a ramp.
    fn flops(&self, (rows, cols): (usize, usize)) -> f64 {
        let (least, most) = self.ranks(rows, cols);
        let (m, n, k) = (rows as f64, cols as f64, (least + most) as f64 / 2.0);
        if k < m.min(n) { 6.0 * m * n * k * self.power.iterations as f64 } else { 0.0 }
    }

    /// As in the paper: where k = r there is nothing low-rank, between refreshes each matrix takes messages of its own, the exact
    /// form sums more, and the rest has not been measured.
    fn sharding(&self, (rows, cols): (usize, usize)) -> Option<Sharding> {
        let rank = self.rank(rows, cols);
        let is_paper = self.refresh_every == 1
            && self.power.form == SubspaceForm::ColumnNorms
            && self.tail == 1.0
            && self.upper == 0.0
            && self.ramp.is_none();
        let sharding = Sharding::Sweeps { rank, sweeps: self.power.iterations };
        (is_paper && rank < rows.min(cols)).then_some(sharding)
    }

    fn validate(&self) -> Result<()> {
        Self::validate(self)
    }

    /// With room for the step that is made of the products.
    ///
    /// The columns of V are no longer than `sqrt(n)` (random ones at first), so entries of `M V` are at most
    /// `sqrt(n) ||M||`. A host that does not know the norm cannot scale before the Gram matrix is formed, which holds the
    /// squares.
    fn largest_norm(&self, (rows, cols): (usize, usize), host_knows_norms: bool) -> f64 {
        let max = domain::largest::<B::Element>();
        if self.ranks(rows, cols).0 == rows.min(cols) {
            return max;
        }
        let of_product = if host_knows_norms { max / 1024.0 } else { libm::sqrt(max / 1024.0) };
        of_product / (libm::sqrt(cols as f64) * self.tail.max(1.0))
    }

    /// A subspace of another rank: columns left out, or random ones of the mean length added. The next power iteration
    /// orthonormalizes them.
    fn resize(&self, wanted: &BufferSpec, saved: &B::Matrix, backend: &B) -> Result<Option<B::Matrix>> {
        let (rows, cols) = saved.shape();
        if wanted.name != SUBSPACE || rows != wanted.rows {
            return Ok(None);
        }
        let mut values = vec![B::Element::narrow(0.0); rows * cols];
        saved.read(&mut values)?;
        let sum: f64 = values.iter().map(|x| x.widen() * x.widen()).sum();
        // Of numbers in [-1, 1) with the mean square 1/3.
        let size = libm::sqrt(3.0 * sum / (rows * cols).max(1) as f64);
        let random = |i, j| B::Element::narrow(size * uniform(self.power.seed, i, j));
        let entry = |i: usize, j: usize| values.get(i * cols + j).filter(|_| j < cols).copied();
        let resized: Vec<_> = (0..rows * wanted.cols)
            .map(|at| (at / wanted.cols, at % wanted.cols))
            .map(|(i, j)| entry(i, j).unwrap_or_else(|| random(i, j)))
            .collect();
        backend.upload(rows, wanted.cols, &resized).map(Some)
    }

    /// From a subspace of its own: nothing is kept.
    fn map(
        &self,
        direction: &B::Matrix,
        out: &mut B::Matrix,
        moment: &Moment,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        out.copy_from(direction)?;
        let shaped = tail_shrink(self, out, None, &mut None, moment.step, workspace)?;
        if let Some((left, right)) = &shaped.correction {
            out.gemm(shaped.tail.into(), (-1.0).into(), left, Op::Plain, right, Op::Transposed)?;
        }
        shaped.release(workspace);
        Ok(())
    }

    fn apply_all(&self, all: &mut [MapItem<'_, B>], workspace: &mut Workspace<B>) -> Result<()> {
        together::shrink_all(self, all, workspace)
    }

    fn gains_together(&self) -> bool {
        true
    }

    fn apply(
        &self,
        direction: &mut B::Matrix,
        update: MomentumUpdate<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        moment: &Moment,
        workspace: &mut Workspace<B>,
    ) -> Result<Mapped<B>> {
        state.with(SUBSPACE, |cache, _| {
            tail_shrink(self, direction, update, cache, moment.step, workspace).map(Mapped::Shaped)
        })
    }
}
