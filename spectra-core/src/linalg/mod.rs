//! Linear algebra by matrix products and small host factorisations.

mod bootstrap;
mod coefficients;
mod coupled;
mod deflation;
mod eigen;
mod gram_schmidt;
mod inverse_sqrt;
mod iteration;
mod jacobi;
mod minimax;
mod norm;
mod orthonormalize;
mod polar;
mod power_iteration;
mod qdwh;
mod random;
mod restarts;
mod scratch;
mod sixteen_bits;
mod small;
mod sweeps;
mod workspace;

pub(crate) use bootstrap::write_random;
pub use coefficients::Published;
pub(crate) use coupled::Coupled;
pub(crate) use deflation::{Directions, MAX_DEFLATED};
#[cfg(feature = "faer")]
pub(crate) use eigen::EigenForm;
pub use gram_schmidt::gram_schmidt;
pub use inverse_sqrt::InverseSqrt;
pub use iteration::{Form, Info, Steps};
pub(crate) use iteration::{power_of_two, tiny};
#[cfg(feature = "faer")]
pub(crate) use jacobi::sort;
pub use minimax::{MAX_STEPS, OddPolynomial, Polynomials, Schedule};
pub(crate) use norm::divide_by_unit;
pub use norm::{UnitNorm, norm_unit, squares_suffice};
pub(crate) use orthonormalize::orthonormalize_into;
pub use orthonormalize::{Orthonormalization, orthonormalize, orthonormalize_by_gram_matrix};
pub(crate) use polar::coefficients;
pub use polar::{GramForm, Normalization, Polar};
pub(crate) use power_iteration::safe_scale;
pub use power_iteration::{PowerIteration, Subspace, SubspaceForm};
pub use qdwh::Qdwh;
pub use random::{seed_zero_columns, uniform};
pub(crate) use restarts::segment;
pub use scratch::Scratch;
pub use sixteen_bits::SixteenBits;
pub(crate) use sixteen_bits::seed_of;
pub use small::{SmallFactor, SmallInfo};
pub(crate) use sweeps::Iterating;
pub use workspace::Workspace;
