//! What a user adds from outside: rules, groups, blocks, changed models.
mod batches;
mod blocks;
mod changed;
mod groups;
mod observations;
mod own;
mod peers;
mod reports;
mod scheduled;

use spectra_core::backend::Matrix;
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::linalg::uniform;
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec};

type M = DenseMatrix<f64>;

fn random(seed: u64, (rows, cols): (usize, usize)) -> M {
    DenseMatrix::from_fn(rows, cols, |i, j| uniform(seed, i, j))
}

/// An optimizer and the weights that it has stepped.
type Run = (Optimizer<Dense<f64>>, Vec<M>);

/// Weights after so many steps on random gradients.
fn run(config: Config, specs: Vec<ParameterSpec>, steps: u64) -> Result<Run, Box<dyn std::error::Error>> {
    let shapes: Vec<_> = specs.iter().map(|spec| (spec.rows, spec.cols)).collect();
    let mut optimizer = Optimizer::new(Dense::new(), config, specs)?;
    let mut weights: Vec<M> = shapes.iter().enumerate().map(|(i, shape)| random(i as u64, *shape)).collect();
    step(&mut optimizer, &mut weights, 0..steps)?;
    Ok((optimizer, weights))
}

fn step(
    optimizer: &mut Optimizer<Dense<f64>>,
    weights: &mut [M],
    steps: std::ops::Range<u64>,
) -> Result<(), Box<dyn std::error::Error>> {
    for t in steps {
        let gradients: Vec<M> =
            weights.iter().enumerate().map(|(i, x)| random(1000 * t + 100 + i as u64, x.shape())).collect();
        let mut pairs: Vec<_> = weights.iter_mut().zip(&gradients).collect();
        optimizer.step(&mut pairs)?;
    }
    Ok(())
}
