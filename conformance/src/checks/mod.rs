//! The checks, a module for each group.
//!
//! Every check is a function of a [`Subject`](crate::suite::Subject) that answers with the error it measured or the
//! reason for its refusal. The comment of each names the defects it exists to find.

pub mod elementwise;
pub mod fused;
pub mod golden;
pub mod handles;
pub mod orthonormalize;
pub mod power_iteration;
pub mod products;
pub mod reductions;
pub mod scalars;
pub mod shapes;
pub mod small_factors;
pub mod storage;
pub mod tail_shrink;
