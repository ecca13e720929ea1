//! loss.png, spectrum.png and weights.png; panels of curves, and bars.

mod bars;
mod canvas;
mod curves;
mod intervals;
mod loss;
mod scatter;
mod spectrum;
mod weights;

pub use bars::{Bar, bars};
pub use curves::{Curve, Panel, curves};
pub use intervals::{Interval, intervals};
pub use loss::loss;
pub use scatter::scatter;
pub use spectrum::spectrum;
pub use weights::weights;
