//! loss.png, spectrum.png and weights.png.

mod canvas;
mod curves;
mod loss;
mod spectrum;
mod weights;

pub use curves::{Curve, Panel, curves};
pub use loss::loss;
pub use spectrum::spectrum;
pub use weights::weights;
