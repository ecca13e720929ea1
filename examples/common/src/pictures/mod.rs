//! loss.png and spectrum.png.

mod canvas;
mod curves;
mod loss;
mod spectrum;

pub use curves::{Curve, Panel, curves};
pub use loss::loss;
pub use spectrum::spectrum;
