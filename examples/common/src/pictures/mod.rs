//! loss.png, spectrum.png and weights.png; panels of curves, and bars.

mod bars;
mod canvas;
mod curves;
mod loss;
mod spectrum;
mod weights;

pub use bars::{Bar, bars};
pub use curves::{Curve, Panel, curves};
pub use loss::loss;
pub use spectrum::spectrum;
pub use weights::weights;
