//! The optimizer: recipes, presets, the plan of who gets which, and the step.

mod config;
mod model;
#[cfg(feature = "faer")]
mod parallel;
mod parameter;
pub mod plan;
mod pre_clip;
mod prepare;
mod presets;
mod recipe;
mod saved;
mod scale;
mod settings;
#[cfg(feature = "serde")]
mod snapshot;

pub use config::Config;
pub use model::{Optimizer, ParameterSpec};
pub use parameter::{ParameterState, Rates, StepInfo};
pub use pre_clip::PreClip;
pub use prepare::{Prepared, norm_clip_factor};
pub use recipe::Recipe;
pub use saved::{STATE_VERSION, SavedParameter, StateHeader};
pub use scale::StepScale;
#[cfg(feature = "serde")]
pub use snapshot::Snapshot;
