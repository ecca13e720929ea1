//! Burn's optimizer interface on the rules of `spectra-core`.

mod assigned;
mod blocks;
#[cfg(test)]
mod broken;
mod clock;
mod config;
mod gradients;
mod hybrid;
mod layout;
mod one_step;
mod overflow;
mod parameters;
mod planned;
mod pre_clip;
mod present;
mod record;
mod refused;
mod role;
mod rules;
mod saved;
mod sealed;
mod shared;
mod spectral;
mod state;

pub use config::{Orientation, SpectralConfig};
pub use hybrid::Hybrid;
pub use refused::Refused;
pub use rules::BurnRules;
pub use spectral::Spectral;
pub use state::SpectralState;
