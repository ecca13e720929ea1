//! The optimizers of modules.

mod common;
mod model;
mod on_device;
mod peers;
mod readme;
mod refusals;
mod resume;
mod rounding;
