//! What the device and the host do alike: a layer that knows the digits of other people is fine-tuned to the last writers of the data.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;

mod data;
mod layer;
mod lean;
mod report;
#[cfg(feature = "serde")]
mod resumed;
mod tuning;

pub use lean::tune_lean;
pub use report::Report;
#[cfg(feature = "serde")]
pub use resumed::{Resumed, resume};
pub use tuning::{RUNS, Run, SPECTRA, STEPS, tune};
