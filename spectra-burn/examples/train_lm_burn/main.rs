//! Trains a small language model once with each optimizer and compares them.
//!
//! `cargo run --release -p spectra-burn --example train_lm_burn -- --help`

mod learner;
mod model;
#[cfg(test)]
mod tests;
mod values;

use std::env;
use std::process::ExitCode;

use learner::BurnLearner;

fn main() -> ExitCode {
    let arguments = env::args_os().skip(1);
    spectra_examples::report(|| spectra_examples::run::<BurnLearner>("train_lm_burn", arguments))
}
