//! Words that a rank sends for one m x n matrix in a step: formulas, not measurements.
//!
//! With `f = (N - 1) / N`, s and l the shorter and the longer side, and k the rank of tail shrink or Dion. A sum over the ranks whose result
//! all get counts as a ring's, `2 f` of its length; its two halves, the sum whose parts stay on the ranks and the gathering of
//! parts, as `f` each. What ranks send one by one is averaged over them. A word is a number of the element type.
//!
//! | way | gradients | update | weights |
//! |---|---|---|---|
//! | [DDP](ddp): every rank steps everything, N times the flops | 2 mn f | | |
//! | [owners] (ZeRO-1) | mn f | | mn f |
//! | [divided tail shrink](divided), weights on all ranks | mn f | 2 (sk + k^2 + 1) f a sweep | mn f |
//! | [FSDP](fsdp): the model's own, whatever optimizer | mn f | | 2 mn f |
//! | divided tail shrink under FSDP: [`sweep`] | | 2 (sk + k^2 + 1) f a sweep | |
//! | Muon under FSDP, [all to all](all_to_all) | | 2 mn f / N | |
//! | any rule under FSDP, [gathered] and stepped by every rank | | mn f | |
//! | Dion, its [low-rank exchange](low_rank), weights on all ranks | | 2 (m + n) k f | |
//!
//! Tail shrink divides the longer side, so that what is summed has the shorter. It sends less than all-to-all Muon while N is below the
//! [`crossover`]. Dion's exchange is not open to it: its update has full rank.

/// `(N - 1) / N`.
fn f(ranks: usize) -> f64 {
    ranks.saturating_sub(1) as f64 / ranks.max(1) as f64
}

fn entries((m, n): (usize, usize)) -> f64 {
    m as f64 * n as f64
}

/// `2 mn f`: gradients summed on all ranks.
pub fn ddp(shape: (usize, usize), ranks: usize) -> f64 {
    2.0 * entries(shape) * f(ranks)
}

/// `2 mn f`: gradients to where they are stepped, weights back; the same for owners of whole matrices and for divided ones.
pub fn owners(shape: (usize, usize), ranks: usize) -> f64 {
    2.0 * entries(shape) * f(ranks)
}

/// `2 (sk + k^2 + 1) f`: `[Z | Gram | norm]` of one sweep of tail shrink, summed on all ranks.
pub fn sweep(shape: (usize, usize), rank: usize, ranks: usize) -> f64 {
    2.0 * summed(shape, rank) * f(ranks)
}

/// `sk + k^2 + 1`: how many words a sweep sums.
pub fn summed((m, n): (usize, usize), rank: usize) -> f64 {
    let (short, k) = (m.min(n) as f64, rank as f64);
    short * k + k * k + 1.0
}

/// [`owners`] and the [`sweep`]s of a step: tail shrink divided over the ranks, with the whole weights on each.
pub fn divided(shape: (usize, usize), rank: usize, sweeps: usize, ranks: usize) -> f64 {
    owners(shape, ranks) + sweeps as f64 * sweep(shape, rank, ranks)
}

/// `3 mn f`: weights gathered for the forward and for the backward pass, gradients summed in parts.
pub fn fsdp(shape: (usize, usize), ranks: usize) -> f64 {
    3.0 * entries(shape) * f(ranks)
}

/// `2 mn f / N`: parts of a divided matrix to its owner, and of the update back.
pub fn all_to_all(shape: (usize, usize), ranks: usize) -> f64 {
    2.0 * entries(shape) * f(ranks) / ranks.max(1) as f64
}

/// `mn f`: parts of a divided matrix to all ranks, each of which does the whole work.
pub fn gathered(shape: (usize, usize), ranks: usize) -> f64 {
    entries(shape) * f(ranks)
}

/// `2 (m + n) k f`: `P = M Q` and `R = M^T P` of Dion, summed on all ranks, in the place of gradients and weights
/// ([`Mode::LowRank`](super::Mode::LowRank)). Fewer words than [`owners`] send while `(m + n) k < mn`.
pub fn low_rank((m, n): (usize, usize), rank: usize, ranks: usize) -> f64 {
    2.0 * (m as f64 + n as f64) * rank as f64 * f(ranks)
}

/// `l / (T (k + k^2 / s))`: below so many ranks T [sweeps](sweep) send less than [all-to-all](all_to_all) Muon.
pub fn crossover((m, n): (usize, usize), rank: usize, sweeps: usize) -> f64 {
    let (short, long, k) = (m.min(n) as f64, m.max(n) as f64, rank as f64);
    long / (sweeps as f64 * (k + k * k / short))
}
