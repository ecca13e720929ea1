//! The optimizer on candle's variables.

mod observe;
mod refusals;
mod steps;

use crate::common::{gradients, model, vars, weights};
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{Optimizer as _, VarMap};
use spectra_candle::plan::{Plan, Rule};
use spectra_candle::{Config, ErrorKind, Optimizer, PreClip};

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn config() -> Result<Config, spectra_candle::Error> {
    Ok(Config::preset("spectra")?.lr(0.02).elementwise_lr(0.01).weight_decay(0.1).clip_norm(1.0))
}
