//! The optimizers of modules.

mod clip_schedule;
mod common;
mod layouts;
mod learner;
mod model;
mod on_device;
mod peers;
mod readme;
mod refusals;
mod resume;
mod state_file;
