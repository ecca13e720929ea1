//! Fused operations: provided methods that a backend may override for speed.
//!
//! Each is held against the exact result, and against its own default form on the same device.

mod adam;
mod entrywise;
mod low_rank;
mod power_sweep;

pub use adam::adam_add;
pub use entrywise::entrywise_add;
pub use low_rank::low_rank_add;
pub use power_sweep::power_sweep;

use spectra_core::backend::Backend;

use crate::inputs::{Family, Input};
use crate::suite::Subject;

/// The ordinary inputs whose squares every precision can hold.
fn wide_range_inputs<B: Backend>(subject: &Subject<B>) -> impl Iterator<Item = &'static Input> {
    subject.ordinary_inputs().filter(|input| input.family != Family::Extreme)
}
