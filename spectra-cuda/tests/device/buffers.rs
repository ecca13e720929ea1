//! A model in the tests' own buffers.

use spectra_core::linalg::uniform;
use spectra_cuda::cudarc::driver::{CudaSlice, CudaStream, DeviceRepr};
use spectra_cuda::plan::Plan;
use spectra_cuda::{Config, CudaElement, Optimizer, Parameter};
use std::error::Error;
use std::sync::Arc;

/// Names and shapes: matrices wide and tall, and a vector.
pub(crate) const SHAPES: [(&str, &[usize]); 3] =
    [("mlp.up.weight", &[48, 80]), ("mlp.down.weight", &[80, 48]), ("norm.weight", &[48])];

/// An optimizer for [`SHAPES`].
pub(crate) fn optimizer<E: CudaElement>(
    backend: spectra_cuda::CudaBackend<E>,
    config: Config,
) -> spectra_cuda::Result<Optimizer<E>> {
    Optimizer::new(backend, config, &Plan::builder(), SHAPES)
}

/// Uniform numbers on [-1, 1) that bf16 holds exactly.
pub(crate) fn random(seed: u64, count: usize) -> Vec<f32> {
    (0..count).map(|i| half::bf16::from_f64(uniform(seed, i, 0)).to_f32()).collect()
}

/// One buffer for each of [`SHAPES`].
pub(crate) struct Model<T>(pub(crate) Vec<CudaSlice<T>>);

impl<T: DeviceRepr + Clone + Default> Model<T> {
    /// Random numbers that depend on `seed`.
    pub(crate) fn random(
        stream: &Arc<CudaStream>,
        seed: u64,
        convert: impl Fn(f32) -> T,
    ) -> Result<Self, Box<dyn Error>> {
        let mut buffers = Vec::new();
        for (index, (_, shape)) in SHAPES.iter().enumerate() {
            let values = random(seed + 100 * index as u64, shape.iter().product());
            buffers.push(stream.clone_htod(&values.into_iter().map(&convert).collect::<Vec<_>>())?);
        }
        Ok(Self(buffers))
    }

    pub(crate) fn read(&self, stream: &Arc<CudaStream>) -> Result<Vec<Vec<T>>, Box<dyn Error>> {
        self.0.iter().map(|buffer| Ok(stream.clone_dtoh(buffer)?)).collect()
    }
}

/// Pairs weights with gradients of the element type.
pub(crate) fn pairs<'a, E: CudaElement>(
    weights: &'a mut Model<E>,
    gradients: &'a Model<E>,
) -> Vec<Parameter<'a, E>> {
    weights.0.iter_mut().zip(&gradients.0).map(|(w, g)| Parameter::new(w, g)).collect()
}
