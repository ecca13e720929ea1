//! What a step costs each rank in the ways that there are, and how long that takes in a model of the machine.

use super::{Placement, traffic};
use crate::rules::Sharding;

/// How a group of ranks steps a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Data-parallel: gradients summed on all ranks, every rank steps everything.
    Ddp,
    /// As the placement says, with the whole weights on every rank (ZeRO-1).
    Placed,
    /// What FSDP sends for the model itself, in three calls if it were packed; no update.
    Fsdp,
    /// The update under FSDP: tail shrink in parts where the placement divides it, entrywise rules in parts, all else to owners and back.
    FsdpPlaced,
    /// The update under FSDP: entrywise rules in parts, all else to owners and back, as Muon is.
    FsdpAllToAll,
    /// The update under FSDP: entrywise rules in parts, all else gathered and stepped by every rank.
    FsdpGathered,
}

/// What a step costs a rank.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    /// Collective calls, everything of a kind packed into one.
    pub calls: usize,
    /// Messages that wait for each other: `ceil(log2 N)` in an exchange or a half of a sum, twice as many in a sum.
    pub rounds: usize,
    /// Words that leave a rank in the mean; see [`traffic`].
    pub words: f64,
    /// Words that leave the rank that sends most: more where an owner sends its weights to all others itself, as a
    /// [`Communicator`](super::Communicator) does, and the same in a ring.
    pub most_words: f64,
    /// What the rank that computes most has to do.
    pub flops: f64,
}

impl Cost {
    /// The words that every rank sends, and the flops.
    fn of_all(self, words: f64, flops: f64) -> Self {
        Self { words, most_words: words, flops, ..self }
    }

    /// So many exchanges and sums of N ranks, without words and flops.
    fn of_calls(exchanges: usize, sums: usize, ranks: usize) -> Self {
        if ranks == 1 {
            return Self::default();
        }
        let depth = ranks.next_power_of_two().trailing_zeros() as usize;
        Self { calls: exchanges + sums, rounds: (exchanges + 2 * sums) * depth, ..Self::default() }
    }
}

impl Way {
    /// What it costs with the matrices of this placement.
    pub fn cost(self, placement: &Placement) -> Cost {
        let (ranks, whole) = (placement.ranks(), placement.work().iter().filter(|work| work.is_live));
        let is_entrywise = |sharding: Option<Sharding>| sharding == Some(Sharding::Entrywise);
        let words = |of: fn((usize, usize), usize) -> f64| -> f64 {
            whole.clone().map(|work| of(work.shape, ranks)).sum()
        };
        let coupled = whole.clone().filter(|work| !is_entrywise(work.sharding));
        let loads = || placement.loads().iter().copied().fold(0.0, f64::max);
        let sums = placement.sums();
        match self {
            Self::Ddp => {
                let flops = whole.clone().map(|work| work.flops).sum();
                Cost::of_calls(0, 1, ranks).of_all(words(traffic::ddp), flops)
            }
            Self::Placed => {
                let sent = (0..ranks).map(|rank| placement.words(rank).total());
                let most_words = sent.clone().fold(0.0, f64::max);
                let sums = sums + placement.low_rank_sums();
                let cost = Cost::of_calls(2, sums, ranks).of_all(sent.sum::<f64>() / ranks as f64, loads());
                Cost { most_words, ..cost }
            }
            Self::Fsdp => Cost::of_calls(3, 0, ranks).of_all(words(traffic::fsdp), 0.0),
            Self::FsdpPlaced => {
                let owned = placement
                    .live()
                    .filter(|(work, division)| !division.is_divided() && !is_entrywise(work.sharding));
                let away: f64 = owned.clone().map(|(work, _)| traffic::all_to_all(work.shape, ranks)).sum();
                let exchanges = if owned.count() > 0 { 2 } else { 0 };
                Cost::of_calls(exchanges, sums, ranks).of_all(placement.words(0).sums + away, loads())
            }
            Self::FsdpAllToAll => {
                let words = coupled.map(|work| traffic::all_to_all(work.shape, ranks)).sum();
                Cost::of_calls(2, 0, ranks).of_all(words, loads())
            }
            Self::FsdpGathered => {
                let repeated: f64 = coupled.clone().map(|work| work.flops).sum();
                let all: f64 = whole.clone().map(|work| work.flops).sum();
                let words = coupled.map(|work| traffic::gathered(work.shape, ranks)).sum();
                Cost::of_calls(1, 0, ranks).of_all(words, repeated + (all - repeated) / ranks as f64)
            }
        }
    }
}

/// A machine as three numbers, which the user gives: **a model, not a measurement**. Nothing overlaps in it, no message waits for
/// another's, and no memory is slow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    /// alpha: seconds of one round.
    pub latency: f64,
    /// beta: bytes that leave a rank in a second.
    pub bandwidth: f64,
    /// Flops of a rank in a second.
    pub rate: f64,
    /// Bytes of a word.
    pub word: f64,
}

impl Machine {
    /// Seconds of the messages of the rank that sends most: `alpha rounds + bytes / beta`.
    pub fn sending(&self, cost: &Cost) -> f64 {
        self.latency * cost.rounds as f64 + cost.most_words * self.word / self.bandwidth
    }

    /// Seconds of the arithmetic: `flops / rate`.
    pub fn computing(&self, cost: &Cost) -> f64 {
        cost.flops / self.rate
    }
}
