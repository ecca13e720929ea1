//! What PyTorch's optimizers and ours have in common, value by value: the tables of `docs/guides/from-torch.md`.
//!
//! Every mapping there is a snippet of these tests, and steps here as PyTorch's formula says, written out beside it.

mod adamw;
mod dion;
mod muon;
mod rest;
mod soap;

use spectra_core::backend::{Matrix, Result};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::optimizer::plan::PlanBuilder;
use spectra_core::optimizer::{Config, Optimizer};

const ROWS: usize = 4;
const COLS: usize = 3;

/// Weights of the beginning.
fn initial() -> Vec<f64> {
    (0..ROWS * COLS).map(|at| (1.7 * at as f64).sin()).collect()
}

/// The gradient of a step, counted from 0.
fn gradient(step: usize) -> Vec<f64> {
    (0..ROWS * COLS).map(|at| (0.9 * (at * (step + 2)) as f64).cos() + 0.1).collect()
}

/// The weights of a hidden matrix after `steps` of ours.
fn ours(config: Config, plan: &PlanBuilder, steps: usize) -> Result<Vec<f64>> {
    let plan = plan.clone().build([("mlp.up.weight", &[ROWS, COLS][..])])?;
    let mut optimizer = Optimizer::new(Dense::<f64>::new(), config, plan.parameters())?;
    let matrix = |values: Vec<f64>| DenseMatrix::from_fn(ROWS, COLS, |i, j| values[i * COLS + j]);
    let mut weights = matrix(initial());
    for step in 0..steps {
        optimizer.step(&mut [(&mut weights, &matrix(gradient(step)))])?;
    }
    let mut values = vec![0.0; ROWS * COLS];
    weights.read(&mut values)?;
    Ok(values)
}

/// An error unless all numbers are equal but for rounding.
fn assert_close(ours: &[f64], torchs: &[f64]) {
    let apart = ours.iter().zip(torchs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(ours.len() == torchs.len() && apart < 1e-12, "differ by {apart}: {ours:?} {torchs:?}");
}
