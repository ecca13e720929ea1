//! Saved states: what comes back, and what is refused.

mod refusals;
mod release_0_1;
mod resume;

use crate::common::{gradients, model, vars, weights};
use candle_core::{DType, Device, Tensor};
use candle_nn::{Optimizer as _, VarMap};
use spectra_candle::{Config, ErrorKind, Optimizer};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

type Failure = Box<dyn std::error::Error>;
type TestResult = Result<(), Failure>;

fn config() -> Result<Config, spectra_candle::Error> {
    Ok(Config::preset("spectra")?.lr(0.02).elementwise_lr(0.01).weight_decay(0.1).clip_norm(1.0))
}

/// A model after two steps, its optimizer, and the file of its state.
struct Trained {
    varmap: VarMap,
    optimizer: Optimizer,
    folder: tempfile::TempDir,
}

impl Trained {
    fn new(dtype: DType) -> Result<Self, Failure> {
        let varmap = model(dtype)?;
        let mut optimizer = Optimizer::from_varmap(&varmap, config()?)?;
        for step in 0..2 {
            optimizer.step(&gradients(&varmap, step)?)?;
        }
        let trained = Self { varmap, optimizer, folder: tempfile::tempdir()? };
        trained.optimizer.save(trained.path())?;
        Ok(trained)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("state.safetensors")
    }
}

fn copy_weights(from: &VarMap, to: &VarMap) -> candle_core::Result<()> {
    vars(from).iter().try_for_each(|(name, var)| vars(to)[name].set(&var.copy()?))
}

/// Everything in the state, to compare.
fn numbers(optimizer: &Optimizer) -> Result<Vec<(String, Vec<f64>)>, Failure> {
    let mut tensors: Vec<_> = optimizer.state_tensors()?.into_iter().collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let values = |t: &Tensor| t.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    tensors.iter().map(|(name, tensor)| Ok((name.clone(), values(tensor)?))).collect()
}
