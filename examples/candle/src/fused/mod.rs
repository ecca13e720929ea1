//! The parts of the decoder that candle would compute by many passes over memory, each as one operation with
//! its derivative. f32 on the CPU.

mod attention;
mod cross_entropy;
mod exponential;
mod linear;
mod rms_norm;
mod rotary;
mod swiglu;
#[cfg(test)]
mod tests;

pub(crate) use attention::causal_attention;
pub use cross_entropy::cross_entropy;
pub(crate) use linear::linear;
pub(crate) use rms_norm::rms_norm;
pub(crate) use rotary::Rotary;
pub(crate) use swiglu::swiglu;

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor};

/// The numbers of a contiguous f32 storage.
fn numbers<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("a fused operation needs contiguous tensors"),
    }
}

/// Calls `f` with the numbers of a contiguous f32 tensor on the CPU.
fn read<T>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(numbers(storage, layout)?),
        _ => candle_core::bail!("a fused operation needs the CPU"),
    }
}

/// A tensor of the shape of `like`.
fn shaped_as(like: &Tensor, values: Vec<f32>) -> Result<Tensor> {
    Tensor::from_vec(values, like.shape(), like.device())
}
