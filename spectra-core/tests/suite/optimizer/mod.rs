//! The optimizer of a model.
mod failing;
mod failures;
#[cfg(feature = "safetensors")]
mod files;
mod flipped_bits;
mod gradients;
mod release_0_1;
mod resumed;
mod saved;
mod steps;

use spectra_core::backend::{Backend, Error, ErrorKind};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::linalg::uniform;
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec, Snapshot, plan::Rule};

type M = DenseMatrix<f64>;

fn random(seed: u64, rows: usize, cols: usize) -> M {
    DenseMatrix::from_fn(rows, cols, |i, j| uniform(seed, i, j))
}

fn spec(name: &str, rows: usize, cols: usize, rule: Rule) -> ParameterSpec {
    ParameterSpec::new(name, (rows, cols), rule)
}

fn specs() -> [ParameterSpec; 3] {
    [
        spec("mlp", 12, 20, Rule::Spectral),
        spec("norm", 1, 20, Rule::Elementwise),
        spec("rope", 4, 4, Rule::Frozen),
    ]
}

fn optimizer(config: Config) -> Optimizer<Dense<f64>> {
    Optimizer::new(Dense::new(), config, specs()).expect("valid")
}

fn weights() -> [M; 3] {
    [random(1, 12, 20), random(2, 1, 20), random(3, 4, 4)]
}

fn gradients(step: u64) -> [M; 3] {
    [random(10 + step, 12, 20), random(100 + step, 1, 20), random(1000 + step, 4, 4)]
}

fn step(
    optimizer: &mut Optimizer<Dense<f64>>,
    weights: &mut [M; 3],
    gradients: &[M; 3],
) -> Result<(), Error> {
    let [a, b, c] = weights;
    optimizer.step(&mut [(a, &gradients[0]), (b, &gradients[1]), (c, &gradients[2])])
}
