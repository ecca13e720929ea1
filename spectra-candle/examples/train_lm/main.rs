//! Trains a small language model once with each optimizer and compares them.
//!
//! `cargo run --release -p spectra-candle --example train_lm -- --help`

mod learner;
mod model;

use std::process::ExitCode;

use learner::CandleLearner;

fn main() -> ExitCode {
    spectra_examples::report(spectra_examples::run::<CandleLearner>("train_lm"))
}
