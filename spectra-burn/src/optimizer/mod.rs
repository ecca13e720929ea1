//! Burn's optimizer interface on the rules of `spectra-core`.

mod assigned;
mod blocks;
#[cfg(test)]
mod broken;
mod clock;
mod config;
mod diagnose;
mod gradients;
mod hybrid;
mod layout;
mod load;
mod lockstep;
mod multi;
mod observe;
mod one_step;
mod overflow;
mod parameters;
mod planned;
mod present;
mod record;
mod refused;
mod restore;
mod role;
mod rules;
mod saved;
mod sealed;
mod shared;
mod snapshot;
mod spectral;
mod state;
mod state_record;
mod step;
mod turn;

pub use config::{Orientation, SpectralConfig};
pub use hybrid::Hybrid;
pub use refused::Refused;
pub use rules::OwnRules;
pub use spectral::Spectral;
pub use state::SpectralState;
