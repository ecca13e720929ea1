//! What a rule needs of the other ranks when each has rows or columns of a matrix.

/// How a rule steps rows, or columns, of a matrix without the whole of it: with sums over the ranks of what is small, or with none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharding {
    /// k of what is summed in a sweep, as in [`traffic::sweep`](crate::distributed::traffic::sweep); 0: nothing is.
    pub rank: usize,
    /// How often in a step.
    pub sweeps: usize,
}

impl Sharding {
    /// Every entry by itself.
    pub const ENTRYWISE: Self = Self { rank: 0, sweeps: 0 };
}
