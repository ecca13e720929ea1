//! What the papers measure of gradients, updates and weights, as functions of matrices in f64. Each says where it is from, what pure
//! noise gives, and how it can be misread.

mod alignment;
mod gaps;
mod interventions;
mod matrix;
mod moments;
mod noise;
mod subspace;
mod update;
mod variance;
mod weights;

pub use alignment::{Alignment, Arithmetic, alignment, head_and_tail};
pub use gaps::{Gaps, gaps, noise_edge};
pub use interventions::{inverse_frequencies, shuffled_bytes, shuffled_words};
pub use matrix::{
    Svd, frobenius, gaussian, leading, matrix, mean_and_deviation, median, quantile, singular_values, svd,
};
pub use moments::{
    Negative, TailUpdates, energy_cdf, histogram, noise_second_moment, shares, tail_updates, without_rank_one,
};
pub use noise::{NoiseShape, noise_shape};
pub use subspace::{Cosines, captured_energy, cosines, null_cosines, random_cosines};
pub use update::{UpdateSpectrum, update_spectrum};
pub use variance::{Directions, trend, variances};
pub use weights::{WeightSize, weight_size};
