//! The matrices that the checks run on: named, seeded, with their condition figures.
//!
//! Each input draws from a generator of its own, seeded by its name, so adding one changes no other. The entries are
//! rounded to the precision of the backend under test *before* the exact results are computed: an error is then
//! the backend's alone.

mod catalogue;
mod extreme;
mod input;
mod random;
mod shapes;
mod spectrum;
mod structured;
mod threshold;

pub use catalogue::{SIZES_AROUND_BLOCKS, squares_in_range, standard};
pub use extreme::{NON_FINITE, denormal, mixed_magnitude, non_finite, scaled};
pub use input::{Condition, Family, Input};
pub use random::{gaussian, generator, orthonormal};
pub use shapes::{LARGE, Product, every_remainder, every_short_row, large_factors, large_products};
pub use spectrum::{clustered, flat, graded, rank_deficient, repeated, spiked, with_spectrum};
pub use structured::{hilbert, single_entry, zero};
pub use threshold::around_threshold;
