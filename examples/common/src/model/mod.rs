//! The model both frameworks train: its sizes, and its parameters by name, shape and initial value.
//!
//! A LLaMA-style decoder over bytes: root-mean-square norms before each block and before the head, rotary
//! positions, SwiGLU, no biases, and a head of its own.

mod parameters;
mod sizes;

pub use parameters::{Parameter, initial_parameters, move_by_an_ulp, parameter_shapes};
pub use sizes::{ModelSizes, NORM_EPSILON, ROTARY_BASE, VOCABULARY};
