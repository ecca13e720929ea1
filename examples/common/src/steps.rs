//! An optimizer and the matrices of a model, to be timed.

use spectra_core::backend::{Matrix, Result};
use spectra_core::faer::{Faer, FaerElement, FaerMatrix};
use spectra_core::linalg::uniform;
use spectra_core::optimizer::plan::Rule;
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec};

/// The matrices of a layer of Qwen3-0.6B: queries, keys, values, output, gate, up, down. It has 28 layers.
pub const QWEN3_LAYER: [(usize, usize); 7] =
    [(2048, 1024), (1024, 1024), (1024, 1024), (1024, 2048), (3072, 1024), (3072, 1024), (1024, 3072)];

/// Uniform entries in [-1, 1).
pub fn random<E: FaerElement>(rows: usize, cols: usize) -> FaerMatrix<E> {
    FaerMatrix::from_fn(rows, cols, |i, j| E::narrow(uniform(1, i, j)))
}

/// Weights, one gradient for each shape, and the optimizer.
#[derive(Debug)]
pub struct Steps<E: FaerElement> {
    optimizer: Optimizer<Faer<E>>,
    weights: Vec<FaerMatrix<E>>,
    gradients: Vec<FaerMatrix<E>>,
}

impl<E: FaerElement> Steps<E> {
    /// All matrices under the spectral rule of `config`; the first step, which allocates, is taken.
    ///
    /// # Errors
    /// Those of the optimizer.
    pub fn new(config: Config, shapes: &[(usize, usize)]) -> Result<Self> {
        let specs = shapes.iter().enumerate().map(|(i, &(rows, cols))| {
            ParameterSpec::new(format!("{i}.weight"), (rows, cols), Rule::Spectral)
        });
        let optimizer = Optimizer::new(Faer::new(), config, specs)?;
        let weights = shapes.iter().map(|&(rows, cols)| random(rows, cols)).collect();
        let mut distinct = shapes.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let gradients = distinct.into_iter().map(|(rows, cols)| random(rows, cols)).collect();
        let mut steps = Self { optimizer, weights, gradients };
        steps.step()?;
        Ok(steps)
    }

    /// One step on all threads.
    ///
    /// # Errors
    /// Those of the optimizer.
    pub fn step(&mut self) -> Result<()> {
        let Self { optimizer, weights, gradients } = self;
        let pairs = weights.iter_mut().filter_map(|x| {
            let gradient = gradients.iter().find(|g| g.shape() == x.shape())?;
            Some((x, gradient))
        });
        optimizer.par_step(&mut pairs.collect::<Vec<_>>())
    }

    /// Bytes of state.
    pub fn state_bytes(&self) -> usize {
        self.optimizer.state_bytes()
    }
}
