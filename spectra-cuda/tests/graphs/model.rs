//! A small model: two equal layers, which step as a stack, another shape, and a vector.

use crate::device::{backend, simulator, stream};
use spectra_core::backend::Matrix;
use spectra_core::linalg::uniform;
use spectra_cuda::cudarc::driver::CudaSlice;
use spectra_cuda::plan::Plan;
use spectra_cuda::{Config, CudaElement, GraphCounts, Optimizer, Parameter, Result};

pub(crate) const SHAPES: [(&str, &[usize]); 4] =
    [("h.0.up", &[24, 52]), ("h.1.up", &[24, 52]), ("h.0.down", &[40, 16]), ("norm.weight", &[24])];

pub(crate) type Failed = Box<dyn std::error::Error>;

/// Weights, gradients and an optimizer.
pub(crate) struct Model<E: CudaElement> {
    pub(crate) optimizer: Optimizer<E>,
    pub(crate) weights: Vec<CudaSlice<E>>,
    pub(crate) gradients: Vec<CudaSlice<E>>,
}

fn numbers<E: CudaElement>(seed: u64, count: usize) -> Vec<E> {
    (0..count).map(|i| E::narrow(uniform(seed, i, 0))).collect()
}

fn buffers<E: CudaElement>(seed: u64) -> std::result::Result<Vec<CudaSlice<E>>, Failed> {
    let stream = stream()?;
    let shapes = SHAPES.iter().enumerate();
    shapes
        .map(|(i, (_, shape))| Ok(stream.clone_htod(&numbers(seed + 50 * i as u64, shape.iter().product()))?))
        .collect()
}

impl<E: CudaElement> Model<E> {
    /// `graphs`: whether its steps are to be graphs.
    pub(crate) fn new(config: Config, graphs: bool) -> std::result::Result<Self, Failed> {
        let mut optimizer = Optimizer::new(backend()?, config, &Plan::builder(), SHAPES)?;
        optimizer.set_graphs(graphs)?;
        Ok(Self { optimizer, weights: buffers(1)?, gradients: buffers(2)? })
    }

    /// New gradients in the same buffers.
    pub(crate) fn backward(&mut self, step: u64) -> std::result::Result<(), Failed> {
        let stream = stream()?;
        for (i, gradient) in self.gradients.iter_mut().enumerate() {
            let count = gradient.len();
            stream.memcpy_htod(&numbers::<E>(1000 * (step + 1) + i as u64, count), gradient)?;
        }
        Ok(())
    }

    /// A step without the parameters that are `missing`.
    pub(crate) fn step_without(&mut self, missing: &[usize]) -> Result<usize> {
        let Self { optimizer, weights, gradients } = self;
        let pairs = weights.iter_mut().zip(gradients.iter()).enumerate();
        let mut parameters: Vec<_> = pairs
            .map(
                |(i, (w, g))| {
                    if missing.contains(&i) { Parameter::without_gradient(w) } else { Parameter::new(w, g) }
                },
            )
            .collect();
        optimizer.step(&mut parameters)
    }

    pub(crate) fn step(&mut self) -> Result<usize> {
        self.step_without(&[])
    }

    pub(crate) fn counts(&self) -> GraphCounts {
        self.optimizer.graph_counts().unwrap_or_default()
    }

    /// The bits of the weights, of the state, and the steps of each matrix.
    pub(crate) fn bits(&self) -> std::result::Result<Vec<(u64, Vec<u64>)>, Failed> {
        let (stream, core) = (stream()?, self.optimizer.core());
        let bits = |values: &[E]| values.iter().map(|x| x.widen().to_bits()).collect::<Vec<_>>();
        let mut all = Vec::new();
        for buffer in &self.weights {
            all.push((self.optimizer.steps(), bits(&stream.clone_dtoh(buffer)?)));
        }
        for block in (0..SHAPES.len()).filter_map(|index| core.state(index)) {
            for (_, matrix) in block.state.iter() {
                let mut values = vec![E::narrow(0.0); matrix.shape().0 * matrix.shape().1];
                matrix.read(&mut values)?;
                all.push((block.steps, bits(&values)));
            }
        }
        Ok(all)
    }
}

/// What the simulated device has seen since it was reset: launches of graphs, copies from the host, and whatever else the host has asked
/// for or waited for.
pub(crate) fn seen() -> Option<(u64, u64, u64)> {
    let counters = simulator()?.counters();
    Some((
        counters.graph_launches,
        counters.host_to_device_copies,
        counters.host_waits()
            + counters.allocations_total
            + counters.memsets
            + counters.device_to_host_copies,
    ))
}
