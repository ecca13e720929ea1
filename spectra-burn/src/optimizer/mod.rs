//! Burn's optimizer interface on the recipes of `spectra-core`.

mod config;
mod gradients;
mod hybrid;
mod parameters;
mod pre_clip;
mod record;
mod shared;
mod spectral;
mod state;

pub use config::{Orientation, SpectralConfig};
pub use hybrid::{Hybrid, Refused};
pub use spectral::Spectral;
pub use state::SpectralState;
