//! The rule by which matrices are placed, and what a user says about it.

use super::{Placement, Work, balance, entries};
use crate::backend::{Error, ErrorKind, Result, require};
use crate::distributed::{Division, traffic};
use crate::optimizer::plan::matches;
use crate::rules::Sharding;
use alloc::{boxed::Box, vec, vec::Vec};

/// An entrywise matrix is divided if each rank gets so many words, 8 KiB in `f32`: what 10 GB/s carry in the microsecond that a message
/// costs. Smaller ones, norms and biases, change no balance.
const LEAST_WORDS: f64 = 2048.0;
/// Tail shrink is divided if each rank has so many flops, about a microsecond's at 1 Tflop/s.
const LEAST_FLOPS: f64 = 1e6;

/// Whether matrices are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Mode {
    /// Where it pays: entrywise rules on large matrices; tail shrink below the [`crossover`](traffic::crossover), and where
    /// an owner would have more to do than a rank's share of everything, if there is enough to do.
    #[default]
    Auto,
    /// Never: every matrix has an owner.
    Owners,
    /// Always, if its rule steps parts.
    Divided,
    /// Dion's low-rank exchange in the place of gradients and weights, where the rule has it: every rank steps the whole matrix, from a momentum of its own
    /// gradients, and `P = M Q` and `R = M^T P` are summed, `2 (m + n) r f` words in the place of `2 mn f`. All else is placed as by `Auto`.
    ///
    /// It never sends more, since it is there only for `(m + n) r < mn`; but every rank has all of the state and all of the work, which owners
    /// share, and the norm of the mean gradient is known to nobody: it must be asked for.
    LowRank,
}

/// How the matrices of a model are placed on ranks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Placing {
    mode: Mode,
    exceptions: Vec<(Box<str>, Mode)>,
}

impl Placing {
    /// [`Mode::Auto`] for all.
    pub const AUTO: Self = Self::new(Mode::Auto);

    /// This mode for all.
    pub const fn new(mode: Mode) -> Self {
        Self { mode, exceptions: Vec::new() }
    }

    /// Another mode for the matrices whose whole name matches `pattern` (`*`: any characters, `?`: one); the last match counts.
    #[must_use]
    pub fn matching(mut self, pattern: &str, mode: Mode) -> Self {
        self.exceptions.push((pattern.into(), mode));
        self
    }

    /// Places these matrices on so many ranks: some are divided along their longer side, or stepped by all; of all others the costliest first goes to
    /// the rank that has the least to do.
    ///
    /// # Errors
    /// No ranks; a pattern that matches no name, that divides a matrix whose rule takes the whole, or that wants the low-rank exchange of one which has
    /// none.
    pub fn place(&self, work: Vec<Work>, ranks: usize) -> Result<Placement> {
        require(ranks >= 1, "placement", "ranks", ranks as f64, "at least 1")?;
        let modes = self.modes(&work)?;
        let mut divisions = vec![None; work.len()];
        let mut loads = vec![0.0; ranks];
        let mean = work.iter().map(|work| work.flops).sum::<f64>() / ranks as f64;
        let (mut owned, mut costs) = (Vec::new(), Vec::new());
        for (index, (work, mode)) in work.iter().zip(modes).enumerate() {
            if !work.is_live {
                continue;
            }
            if let (Mode::LowRank, Some(Sharding::LowRank { .. })) = (mode, work.sharding) {
                loads.iter_mut().for_each(|load| *load += work.flops);
                divisions[index] = Some(Division::shared(work.shape, ranks));
                continue;
            }
            if !is_divided(work, mode, (ranks, mean)) {
                owned.push(index);
                costs.push(work.flops);
                continue;
            }
            let division = Division::longer(work.shape, ranks);
            for (rank, load) in loads.iter_mut().enumerate() {
                *load += work.flops * entries(division.part(rank)) / work.entries().max(1.0);
            }
            divisions[index] = Some(division);
        }
        for (index, owner) in owned.into_iter().zip(balance::owners(&costs, &mut loads)) {
            divisions[index] = Some(Division::owned(work[index].shape, owner, ranks));
        }
        Ok(Placement { ranks, work, divisions, loads })
    }

    /// The mode of each matrix.
    fn modes(&self, work: &[Work]) -> Result<Vec<Mode>> {
        let mut modes = vec![self.mode; work.len()];
        for (pattern, mode) in &self.exceptions {
            let mut is_used = false;
            for (work, place) in work.iter().zip(&mut modes) {
                if !matches(pattern, &work.name) {
                    continue;
                }
                (is_used, *place) = (true, *mode);
                let fits = |is: fn(Sharding) -> bool| !work.is_live || work.sharding.is_some_and(is);
                if *mode == Mode::Divided && !fits(Sharding::is_of_parts) {
                    return Err(refuse(&work.name, "cannot be divided: its rule takes the whole matrix"));
                }
                if *mode == Mode::LowRank && !fits(|sharding| !sharding.is_of_parts()) {
                    let reason = "has no low-rank exchange: its rule is not Dion's, its gradient is clipped, or (m + n) r is not less than mn";
                    return Err(refuse(&work.name, reason));
                }
            }
            if !is_used {
                return Err(refuse(pattern, "matches no parameter's name"));
            }
        }
        Ok(modes)
    }
}

/// `mean`: the flops of a rank if all were divided. A matrix with more would make its owner the last to be done, and is divided even beyond
/// the crossover.
fn is_divided(work: &Work, mode: Mode, (ranks, mean): (usize, f64)) -> bool {
    let share = |of_all: f64| of_all / ranks as f64;
    match (mode, work.sharding) {
        (Mode::Owners, _) | (_, None | Some(Sharding::LowRank { .. })) => false,
        (Mode::Divided, _) => true,
        _ if ranks == 1 => false,
        (_, Some(Sharding::Entrywise)) => share(work.entries()) >= LEAST_WORDS,
        (_, Some(Sharding::Sweeps { rank, sweeps })) => {
            let is_cheap = (ranks as f64) < traffic::crossover(work.shape, rank, sweeps);
            (is_cheap || work.flops > mean) && share(work.flops) >= LEAST_FLOPS
        }
    }
}

fn refuse(name: &str, reason: &'static str) -> Error {
    Error::new("placement", ErrorKind::Name { name: name.into(), reason })
}
