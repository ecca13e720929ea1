//! The traits of `spectra-core` on candle tensors.

mod convert;
mod element;
mod matrix;
mod memory;
mod on_cpu;
mod operations;
mod scalar;
mod tensor_ops;

pub use element::CandleElement;
pub use matrix::CandleMatrix;
pub(crate) use memory::address;
pub use scalar::CandleScalar;

use candle_core::{Device, Tensor};
use matrix::at;
use spectra_core::backend::{Backend, Entrywise, Gradient, Result, check_memory, check_size, composed};
use spectra_core::linalg::Workspace;
use std::fmt;
use std::marker::PhantomData;

/// Matrices in candle tensors of type `E` (`f32` or `f64`) on one device.
///
/// On the CPU operations run on the tensors' memory, without temporaries, and norms are host numbers. On CUDA
/// and Metal they are candle's tensor operations and norms stay on the device. That path is tested here on the
/// CPU ([`by_tensor_operations`](Self::by_tensor_operations)); it has not been run, nor its speed measured,
/// on a GPU.
pub struct CandleBackend<E> {
    device: Device,
    tensor_operations: bool,
    element: PhantomData<E>,
}

impl<E: CandleElement> CandleBackend<E> {
    /// The backend on `device`.
    pub fn new(device: &Device) -> Self {
        Self { device: device.clone(), tensor_operations: !device.is_cpu(), element: PhantomData }
    }

    /// The backend that uses tensor operations even on the CPU: the path of the GPUs, to test it.
    pub fn by_tensor_operations(device: &Device) -> Self {
        Self { tensor_operations: true, ..Self::new(device) }
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }
}

impl<E> Clone for CandleBackend<E> {
    fn clone(&self) -> Self {
        Self { device: self.device.clone(), ..*self }
    }
}

impl<E> fmt::Debug for CandleBackend<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CandleBackend")
            .field("device", &self.device.location())
            .field("tensor_operations", &self.tensor_operations)
            .finish()
    }
}

impl<E: CandleElement> Backend for CandleBackend<E> {
    type Element = E;
    type Scalar = CandleScalar;
    type Matrix = CandleMatrix<E>;

    fn zeros(&self, rows: usize, cols: usize, _: Option<&Self::Matrix>) -> Result<Self::Matrix> {
        // Candle's own allocation aborts, or panics, where there is no memory.
        if self.device.is_cpu() {
            check_memory::<E>("zeros", rows, cols)?;
        } else {
            check_size::<E>("zeros", rows, cols)?;
        }
        let zeros = Tensor::zeros((rows, cols), E::DTYPE, &self.device);
        Ok(self.wrap(at("zeros", zeros)?, false, None))
    }

    fn scalar(&self, value: f64) -> Result<Self::Scalar> {
        Ok(CandleScalar::host(value))
    }

    fn entrywise_add<const N: usize>(
        matrices: [&mut Self::Matrix; N],
        weights: (f64, f64),
        rule: Entrywise,
        gradient: &Gradient<'_, Self::Matrix>,
        workspace: &mut Workspace<Self>,
    ) -> Result<()> {
        if !gradient.values.on_memory {
            return composed::entrywise_add(matrices, weights, rule, gradient, workspace);
        }
        CandleMatrix::entrywise(matrices, weights, rule, gradient)
    }

    fn upload(&self, rows: usize, cols: usize, values: &[E]) -> Result<Self::Matrix> {
        matrix::check_len("upload", (rows, cols), values.len())?;
        let matrix = Tensor::from_slice(values, (rows, cols), &self.device);
        Ok(self.wrap(at("upload", matrix)?, false, None))
    }
}
