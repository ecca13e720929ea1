//! What the programs of the guides under `docs/` share: a command line, a bar, a picture, and data that needs no network.
//!
//! The programs are in `examples/`, one for each guide, and say nothing twice that belongs to their subject.

pub mod digits;
#[cfg(test)]
mod from_torch;
#[cfg(feature = "burn")]
pub mod learner;
mod program;
mod run;

pub use program::{Guide, Program, losses};
pub use run::Run;
