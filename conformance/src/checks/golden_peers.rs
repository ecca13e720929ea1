//! The rules of other authors against the golden data of their own programs.

pub use crate::golden::peers::{golden_dion, golden_dion2, golden_shampoo, golden_soap};
