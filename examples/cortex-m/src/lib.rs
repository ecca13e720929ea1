//! What the device and the host do alike: a layer that knows the digits of other people is fine-tuned to the last writers of the data.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;

mod data;
mod layer;
#[cfg(feature = "serde")]
mod resumed;
mod tuning;

#[cfg(feature = "serde")]
pub use resumed::{Resumed, resume};
pub use tuning::{RUNS, Report, Run, STEPS, tune};
