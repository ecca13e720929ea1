//! Fused operations: provided methods that a backend may override for speed.
//!
//! Each is held against the exact result, and against its own default form on the same device.

mod adam;
mod empty;
mod entrywise;
mod factor;
mod low_rank;
mod low_rank_large;
mod mars;
mod non_finite;
mod power_sweep;
mod power_sweep_large;
mod rule;

pub use adam::adam_add;
pub use empty::empty_fused;
pub(crate) use entrywise::RULES;
pub use entrywise::{adam_add_large, entrywise_add, entrywise_add_large};
pub(crate) use factor::Factor;
pub use low_rank::low_rank_add;
pub use low_rank_large::{low_rank_add_every_rank, low_rank_add_large};
pub use mars::mars_add;
pub use non_finite::{
    adam_add_non_finite, entrywise_add_non_finite, low_rank_add_non_finite, power_sweep_non_finite,
};
pub use power_sweep::power_sweep;
pub use power_sweep_large::{power_sweep_every_rank, power_sweep_large};
pub(crate) use rule::entrywise;

use spectra_core::backend::Backend;

use crate::inputs::{Family, Input};
use crate::suite::Subject;

/// The ordinary inputs whose squares every precision can hold.
fn wide_range_inputs<B: Backend>(subject: &Subject<B>) -> impl Iterator<Item = &'static Input> {
    subject.ordinary_inputs().filter(|input| input.family != Family::Extreme)
}
