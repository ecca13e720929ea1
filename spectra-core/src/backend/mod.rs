//! The traits, errors and scalar types: who implements a backend starts here.

pub mod composed;
mod device;
pub(crate) mod domain;
mod element;
mod entrywise;
mod error;
mod fused;
mod gradient;
mod matrix;
mod memory;
mod ranks;
mod scalar;
mod stacking;

pub use device::Backend;
pub use element::Element;
pub use entrywise::Entrywise;
pub(crate) use error::require;
pub use error::{Error, ErrorKind, Result};
pub use fused::{Fused, PackedProducts, PowerSweep};
pub use gradient::Gradient;
pub use matrix::{Coef, Matrix, Op, check_gemm, check_same, check_shape};
pub use memory::{check_memory, check_size};
pub use ranks::Ranks;
pub use scalar::{Coefficient, Scalar, ScalarOp};
pub use stacking::Stacking;
