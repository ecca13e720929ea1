//! Trains a small language model once with each optimizer and compares them.
//!
//! `cargo run --release -p spectra-candle --example train_lm -- --help`

mod fused;
mod learner;
mod memory;
mod model;
#[cfg(test)]
mod tests;
mod workers;

use std::process::ExitCode;

use learner::CandleLearner;

fn main() -> ExitCode {
    memory::keep_freed();
    spectra_examples::report(spectra_examples::run::<CandleLearner>("train_lm", std::env::args_os().skip(1)))
}
