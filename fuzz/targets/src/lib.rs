//! Everything of this project that reads what somebody else has written, as functions of bytes for a fuzzer.
//!
//! Each panics if the code under test does, or breaks its word: what is refused changes nothing, what is accepted comes out
//! again as it went in, and the optimizer goes on working after both. Each tells whether it accepted.
//!
//! `cargo test` runs them over the corpus and a bounded number of mutations of it; `cargo fuzz` without bound.
#![forbid(unsafe_code)]

mod candle_state;
mod config;
mod model;
pub mod mutation;
mod plan;
mod restore;
mod snapshot;

pub use candle_state::{DESCRIPTION, candle_state, candle_state_seed, repaired};
pub use config::{config, config_seeds};
pub use plan::plan;
pub use restore::{restore, restore_seed};
pub use snapshot::{snapshot, snapshot_checksum, snapshot_seed};

/// A target: whether it accepted the bytes.
pub type Target = fn(&[u8]) -> bool;

/// All targets by the names of their folders in the corpus.
pub const TARGETS: [(&str, Target); 5] = [
    ("candle_state", candle_state),
    ("config", config),
    ("plan", plan),
    ("restore", restore),
    ("snapshot", snapshot),
];
