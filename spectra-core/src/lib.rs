//! Spectral optimizers of modern LLM training, written once over two small traits.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "faer")]
extern crate std;

pub mod backend;
pub mod dense;
pub mod directions;
#[cfg(feature = "faer")]
pub mod faer;
pub mod linalg;
pub mod maps;
pub mod optimizer;
pub mod schedules;
