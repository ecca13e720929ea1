//! A model of three parameters, small enough for thousands of runs a second.

use spectra_core::backend::{Backend, Result};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::maps::{SpectralMap, TailShrink};
use spectra_core::optimizer::plan::Plan;
use spectra_core::optimizer::{Config, Optimizer, Snapshot};

/// Names and shapes: one for each rule but frozen.
pub(crate) const PARAMETERS: [(&str, &[usize]); 3] =
    [("embed.weight", &[5, 3]), ("layers.0.mlp.up.weight", &[6, 4]), ("norm.weight", &[4])];

/// Tail shrink with k = 2, so that there is a subspace to save.
pub(crate) fn config() -> Result<Config> {
    let map = SpectralMap::TailShrink(TailShrink { rank_ratio: 0.5, ..TailShrink::default() });
    Ok(Config::preset("spectra")?.map(map))
}

/// The optimizer of the model, before its first step.
pub(crate) fn fresh(config: Config) -> Result<Optimizer<Dense<f32>>> {
    Optimizer::new(Dense::new(), config, Plan::builder().build(PARAMETERS)?.parameters())
}

/// The optimizer after two steps.
pub(crate) fn trained() -> Optimizer<Dense<f32>> {
    let steps = || {
        let mut optimizer = fresh(config()?)?;
        step(&mut optimizer)?;
        step(&mut optimizer)?;
        Ok::<_, spectra_core::backend::Error>(optimizer)
    };
    steps().expect("two steps of a sound model")
}

/// A step with gradients that are no zeros; the weights are thrown away.
pub(crate) fn step<B: Backend<Element = f32>>(optimizer: &mut Optimizer<B>) -> Result<()> {
    let shapes: Vec<(usize, usize)> = optimizer.parameters().map(|spec| (spec.rows, spec.cols)).collect();
    let matrix = |(rows, cols): (usize, usize), seed: usize| {
        let values = DenseMatrix::from_fn(rows, cols, |i, j| ((7 * i + 3 * j + seed) % 11) as f32 - 5.0);
        optimizer.backend().upload(rows, cols, values.values())
    };
    let mut weights = shapes.iter().map(|shape| matrix(*shape, 0)).collect::<Result<Vec<_>>>()?;
    let gradients = shapes.iter().map(|shape| matrix(*shape, 5)).collect::<Result<Vec<_>>>()?;
    optimizer.step(&mut weights.iter_mut().zip(&gradients).collect::<Vec<_>>())
}

/// The whole state.
pub(crate) fn state(optimizer: &Optimizer<Dense<f32>>) -> Snapshot<f32> {
    optimizer.snapshot().expect("the host's memory can be read")
}
