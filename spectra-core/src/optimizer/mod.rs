//! The optimizer: recipes, presets, the plan of who gets which, and the step.

mod assigned;
mod batch;
mod checksum;
mod config;
pub mod diagnosis;
mod header;
mod member;
mod model;
mod observation;
#[cfg(feature = "faer")]
mod parallel;
mod parameter;
pub mod plan;
pub mod policy;
mod pre_clip;
mod prepare;
mod progress;
mod rates;
mod recorded;
mod report;
mod restored;
mod saved;
mod settings;
#[cfg(feature = "serde")]
mod snapshot;
mod stacks;
mod step;
mod work;

pub use crate::rules::{Method, Rates, Recipe, StepInfo};
pub use crate::scales::StepScale;
pub use checksum::Checksum;
pub use config::Config;
pub use header::{OLDEST_STATE_VERSION, STATE_VERSION, SavedParameter, SavedRun, SavedShape, StateHeader};
pub use member::ParameterSpec;
pub use model::Optimizer;
pub use observation::Observation;
pub use parameter::{BlockState, ParameterState};
pub use pre_clip::PreClip;
pub use prepare::Prepared;
pub use recorded::StepCounts;
pub use report::StepReport;
pub use restored::{Difference, Missing, RestoreOptions, Restored, Setting, differences, settings_of};
#[cfg(feature = "safetensors")]
pub use snapshot::file::StateDescription;
#[cfg(feature = "serde")]
pub use snapshot::{Snapshot, SnapshotReader};
