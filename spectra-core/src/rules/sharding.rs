//! What a rule needs of the other ranks when they step a matrix together.

/// How a rule steps a matrix together with other ranks, without the whole of it, or without the whole of its gradient, in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharding {
    /// Each rank has rows, or columns, and every entry is stepped by itself.
    Entrywise,
    /// Each rank has rows, or columns; what is small is summed over the ranks in every sweep.
    Sweeps {
        /// k of what is summed, as in [`traffic::sweep`](crate::distributed::traffic::sweep); at least 1.
        rank: usize,
        /// How often in a step.
        sweeps: usize,
    },
    /// Each rank has all weights, a gradient of its own, and a momentum of its own gradients: state and gradient are sums over the ranks, of
    /// which only products with few columns are formed, in two [sums](crate::backend::Backend::sum_over_ranks) that send fewer words than the gradient has:
    /// [`traffic::low_rank`](crate::distributed::traffic::low_rank).
    LowRank {
        /// Columns of those products.
        rank: usize,
    },
}

impl Sharding {
    /// Whether rows, or columns, are stepped where they are.
    pub fn is_of_parts(self) -> bool {
        !matches!(self, Self::LowRank { .. })
    }
}
