//! loss.png and spectrum.png.

mod canvas;
mod loss;
mod spectrum;

pub use loss::loss;
pub use spectrum::spectrum;
