//! Trains a small language model once with each optimizer and compares them.
//!
//! `cargo run --release --bin train_lm -- --help`

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use spectra_decoder::CandleLearner;

fn main() -> ExitCode {
    spectra_decoder::keep_freed();
    spectra_examples::report(|| {
        spectra_examples::run::<CandleLearner>("train_lm", std::env::args_os().skip(1))
    })
}
