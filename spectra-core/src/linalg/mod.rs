//! Linear algebra by matrix products and small host factorisations.

mod gram_schmidt;
mod orthonormalize;
mod power_iteration;
mod random;
mod scratch;
mod small;
mod workspace;

pub use gram_schmidt::gram_schmidt;
pub use orthonormalize::{Orthonormalization, orthonormalize};
pub(crate) use power_iteration::safe_scale;
pub use power_iteration::{PowerIteration, Subspace, SubspaceForm};
pub use random::{seed_zero_columns, uniform};
pub use scratch::Scratch;
pub use small::{SmallFactor, SmallInfo};
pub use workspace::Workspace;
