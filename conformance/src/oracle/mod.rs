//! Exact results in double precision, from which every check measures its distance.
//!
//! Everything derives from a singular value decomposition that [`Svd::of`] checks before it hands it out
//! (residual, orthogonality, order), and from [products](product()) with twice the working precision. The formulas
//! are written for the eye; nothing here is meant to be fast.

mod condition;
mod direction;
mod error;
mod frank_wolfe;
mod hard_clip;
mod plain;
mod polar;
mod polynomial;
mod power_iteration;
mod product;
mod qr;
mod recipe;
mod refine;
mod soft_clip;
mod svd;
mod tail_shrink;
#[cfg(test)]
mod test_support;
mod threshold;
mod truncation;

pub use condition::column_condition;
pub use direction::{Directed, ReferenceDirection};
pub use error::OracleError;
pub use frank_wolfe::{frank_wolfe_vertex, linear_minimum, projection_minimum, regularizer_value};
pub use hard_clip::hard_clipped;
pub use plain::{product_bound, product_of_doubles};
pub use polar::polar_values;
pub use polynomial::{MUON, NEWTON_SCHULZ, OddPolynomial, POLAR_EXPRESS, PolynomialIteration, gram_bound};
pub use power_iteration::{PowerIteration, power_iteration};
pub use product::{absolute_product, dot, product, product_nt, product_tn};
pub use qr::orthonormal_basis;
pub use recipe::Reference;
pub use soft_clip::{coupled_cubic_steps, official_bound, soft_clipped};
pub use svd::Svd;
pub use tail_shrink::{TailShrink, tail_scale, tail_shrunk};
pub use threshold::{bang_bang, elastic, frobenius, schatten, soft_thresholded};
pub use truncation::truncated;
