//! The optimizers of modules.

mod common;
mod gradient_range;
mod model;
mod on_device;
mod peers;
mod readme;
mod refusals;
mod resume;
mod rounding;
