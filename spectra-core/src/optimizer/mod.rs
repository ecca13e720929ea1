//! The optimizer: recipes, presets, the plan of who gets which, and the step.

mod checksum;
mod config;
mod header;
mod model;
#[cfg(feature = "faer")]
mod parallel;
mod parameter;
pub mod plan;
mod pre_clip;
mod prepare;
mod presets;
mod progress;
mod range;
mod recipe;
mod restored;
mod saved;
mod scale;
mod settings;
#[cfg(feature = "serde")]
mod snapshot;
mod step;

pub use checksum::Checksum;
pub use config::Config;
pub use header::{OLDEST_STATE_VERSION, STATE_VERSION, SavedParameter, SavedRun, StateHeader};
pub use model::{Optimizer, ParameterSpec};
pub use parameter::{ParameterState, Rates, StepInfo};
pub use pre_clip::PreClip;
pub use prepare::Prepared;
pub use range::{Dots, GradientLimits};
pub use recipe::Recipe;
pub use restored::{Difference, Restored, Setting, differences, settings_of};
pub use scale::StepScale;
#[cfg(feature = "serde")]
pub use snapshot::Snapshot;
