//! The optimizer: recipes, presets, the plan of who gets which, and the step.

mod parameter;
mod presets;
mod recipe;
mod scale;

pub use parameter::{ParameterState, Rates, StepInfo};
pub use recipe::Recipe;
pub use scale::StepScale;
