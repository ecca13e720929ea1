//! What the page computes, all of it by `spectra-core`: a matrix whose singular values are chosen by hand goes through a map, and a small
//! network is trained. For wasm without std; on the host the same code says what the page must find.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![warn(missing_docs)]

extern crate alloc;

#[cfg(target_arch = "wasm32")]
mod page;
mod spectrum;
mod teacher;
mod training;

pub use spectrum::{Bench, Image, Mapping, singular_values};
pub use training::{HIDDEN, INPUTS, PRESETS, Preset, STEPS, Seen, Training};
