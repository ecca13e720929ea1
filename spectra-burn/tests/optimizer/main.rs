//! The optimizers of modules.

mod common;
mod model;
mod peers;
mod readme;
mod refusals;
mod resume;
