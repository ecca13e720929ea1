//! The small decoder of the candle examples: its operations, the model, and the model in training as the program of all
//! frameworks wants it ([`CandleLearner`]). f32 on the CPU.

mod average;
mod fused;
mod learner;
mod memory;
mod model;
mod workers;

pub use average::Average;
pub use fused::cross_entropy;
pub use learner::CandleLearner;
pub use memory::keep_freed;
pub use model::Decoder;
