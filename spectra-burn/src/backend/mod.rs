//! The traits of `spectra-core` on burn tensors.

mod convert;
mod element;
mod fused;
mod matrix;
mod memory;
mod on_memory;
mod operations;
mod scalar;
mod tensor_ops;

pub use element::BurnElement;
pub use matrix::BurnMatrix;
pub use scalar::BurnScalar;

use burn::tensor::{Device, Tensor, TensorData};
use matrix::{Values, check_len};
use spectra_core::backend::{Backend, Entrywise, Gradient, Result, check_memory, composed};
use spectra_core::linalg::Workspace;
use std::fmt;
use std::marker::PhantomData;

/// Matrices in burn tensors of type `E` (`f32` or `f64`) on one device.
///
/// On burn's CPU device ([`Device::flex`]) operations run on the tensors' memory, without temporaries, and norms
/// are host numbers. On all other devices they are burn's tensor operations and norms stay on the device. That path is
/// tested here on the CPU ([`by_tensor_operations`](Self::by_tensor_operations)); its speed has not been measured
/// on any GPU.
pub struct BurnBackend<E> {
    device: Device,
    on_memory: bool,
    element: PhantomData<E>,
}

impl<E: BurnElement> BurnBackend<E> {
    /// The backend on `device`; whether the device tracks gradients does not matter.
    pub fn new(device: &Device) -> Self {
        let device = device.clone().without_autodiff();
        let on_memory = device == Device::flex();
        Self { device, on_memory, element: PhantomData }
    }

    /// The backend that uses tensor operations even on the CPU device: the path of the GPUs, to test it.
    pub fn by_tensor_operations(device: &Device) -> Self {
        Self { on_memory: false, ..Self::new(device) }
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }
}

impl<E> Clone for BurnBackend<E> {
    fn clone(&self) -> Self {
        Self { device: self.device.clone(), ..*self }
    }
}

impl<E> fmt::Debug for BurnBackend<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BurnBackend")
            .field("device", &self.device)
            .field("on_memory", &self.on_memory)
            .finish()
    }
}

impl<E: BurnElement> Backend for BurnBackend<E> {
    type Element = E;
    type Scalar = BurnScalar;
    type Matrix = BurnMatrix<E>;

    fn zeros(&self, rows: usize, cols: usize, rows_like: Option<&Self::Matrix>) -> Result<Self::Matrix> {
        // Burn's own allocation aborts, or panics, where there is no memory.
        check_memory::<E>("zeros", rows, cols)?;
        // Stored as its model is, so that entries that meet lie in the same order.
        if rows_like.is_some_and(BurnMatrix::is_transposed) {
            let storage = Tensor::zeros([cols, rows], (&self.device, E::DTYPE));
            return self.wrap(storage, true);
        }
        self.wrap(Tensor::zeros([rows, cols], (&self.device, E::DTYPE)), false)
    }

    fn scalar(&self, value: f64) -> Result<Self::Scalar> {
        Ok(BurnScalar::host(value))
    }

    fn entrywise_add<const N: usize>(
        mut matrices: [&mut Self::Matrix; N],
        weights: (f64, f64),
        rule: Entrywise,
        gradient: &Gradient<'_, Self::Matrix>,
        workspace: &mut Workspace<Self>,
    ) -> Result<()> {
        rule.check(&matrices.each_ref().map(|x| x.shape), gradient.values.shape)?;
        if BurnMatrix::entrywise(&mut matrices, weights, rule, gradient)? {
            return Ok(());
        }
        composed::entrywise_add(matrices, weights, rule, gradient, workspace)
    }

    fn upload(&self, rows: usize, cols: usize, values: &[E]) -> Result<Self::Matrix> {
        check_len("upload", (rows, cols), values.len())?;
        let data = TensorData::new(values.to_vec(), [rows, cols]);
        self.wrap(Tensor::from_data(data, (&self.device, E::DTYPE)), false)
    }
}

impl<E: BurnElement> BurnBackend<E> {
    /// A tensor of this device and type, or its transpose, as a matrix.
    fn wrap(&self, storage: Tensor<2>, transposed: bool) -> Result<BurnMatrix<E>> {
        let values = if self.on_memory {
            Values::Memory(memory::Memory::new(storage, transposed)?)
        } else {
            Values::Tensor(if transposed { storage.transpose() } else { storage })
        };
        Ok(BurnMatrix::new(values))
    }
}
