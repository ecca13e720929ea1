//! What carries bytes between ranks.

use core::fmt;

/// Why a group of ranks can no longer work together. Who has met one meets it at every later call: there is no way back but a new
/// group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The rank to blame, if it is known.
    pub rank: Option<usize>,
    /// What it did, or did not.
    pub reason: &'static str,
}

impl Lost {
    /// The others did not come within the deadline.
    pub const DEADLINE: Self = Self { rank: None, reason: "the others did not come within the deadline" };

    /// A rank that has left the group, by a panic or because it was dropped.
    pub fn left(rank: usize) -> Self {
        Self { rank: Some(rank), reason: "left the group" }
    }

    /// A rank that makes another call than the others, or one of another length.
    pub fn other_call(rank: usize) -> Self {
        Self { rank: Some(rank), reason: "made another call, or one of another length" }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rank {
            Some(rank) => write!(f, "rank {rank} {}", self.reason),
            None => f.write_str(self.reason),
        }
    }
}

/// The connection of one rank with the others of its group: what threads, MPI or an engine of yours implements. A
/// [`Communicator`](super::Communicator) makes sums and everything else of it.
///
/// All ranks of a group make the same calls in the same order.
pub trait Transport: fmt::Debug {
    /// This rank, from 0.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn size(&self) -> usize;

    /// Sends `out[r]` to rank r, and fills `into[r]` with what rank r sends here, this rank itself included. There are
    /// [`size`](Self::size) of both; any may be empty. What rank a sends to b has the length that b expects, otherwise it is an error
    /// on all ranks.
    ///
    /// # Errors
    /// [`Lost`], at the latest when the deadline is over for which the connection was made; then every later call fails, too, on
    /// every rank. Nothing can be said of `into`.
    fn exchange(&mut self, out: &[&[u8]], into: &mut [&mut [u8]]) -> Result<(), Lost>;

    /// Whether it has a [`sum`](Self::sum) of its own.
    fn has_sum(&self) -> bool {
        false
    }

    /// Sums both lists over the ranks, entry by entry, in whatever order is the fastest; all ranks get the same bits. `None` if it [has
    /// none](Self::has_sum).
    ///
    /// # Errors
    /// As [`exchange`](Self::exchange).
    fn sum(&mut self, singles: &mut [f32], doubles: &mut [f64]) -> Option<Result<(), Lost>> {
        let _ = (singles, doubles);
        None
    }

    /// A connection of those ranks that give the same color, in the order of their ranks here.
    ///
    /// # Errors
    /// As [`exchange`](Self::exchange).
    fn split(&mut self, color: u64) -> Result<Self, Lost>
    where
        Self: Sized;
}

/// One rank alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Alone;

impl Transport for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn exchange(&mut self, out: &[&[u8]], into: &mut [&mut [u8]]) -> Result<(), Lost> {
        for (from, to) in out.iter().zip(into) {
            if from.len() != to.len() {
                return Err(Lost::other_call(0));
            }
            to.copy_from_slice(from);
        }
        Ok(())
    }

    fn split(&mut self, _: u64) -> Result<Self, Lost> {
        Ok(Self)
    }
}
