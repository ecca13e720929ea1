//! What the training examples share: everything that is no framework's business.
//!
//! An example writes the model in its framework, implements [`Learner`] for it and calls [`run`]. Text, data
//! order, initial weights, learning rate, measurements, checkpoints, tables and pictures come from here, so
//! that two frameworks train the same model on the same bytes.

pub mod batches;
pub mod checkpoints;
pub mod generate;
pub mod metrics;
pub mod model;
pub mod optimizers;
pub mod output;
pub mod pictures;
pub mod provenance;
pub mod schedule;
pub mod steps;
pub mod table;
pub mod text;
pub mod training;

mod bar;
mod bound;
mod command_line;
mod compare;
mod failure;
mod files;
mod folder;
mod learner;
mod memory;
mod norms;
mod numbers;
mod overrides;
mod progress;
mod record;
mod settings;
mod spectrum;
mod sweep;
mod workers;

pub use bar::Bar;
pub use batches::Batch;
pub use command_line::CommandLine;
pub use compare::{run, run_as_rank};
pub use failure::{Failure, report};
pub use files::write_whole;
pub use folder::Folder;
pub use learner::{Learner, Step};
pub use model::{ModelSizes, Parameter};
pub use norms::{UpdateNorms, WeightNorms};
pub use numbers::{count, positive};
pub use progress::Progress;
pub use record::{Record, Row};
pub use settings::Settings;
pub use spectrum::{Observation, Spectrum};
pub use text::{Split, Text};
