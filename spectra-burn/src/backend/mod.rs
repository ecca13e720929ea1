//! The traits of `spectra-core` on burn tensors.

mod convert;
mod counted;
mod element;
mod fused;
mod matrix;
mod memory;
mod on_memory;
mod operations;
mod scalar;
mod stack;
mod tensor_ops;

pub use counted::Tally;
pub use element::BurnElement;
pub use matrix::BurnMatrix;
pub use scalar::BurnScalar;

use burn::tensor::{Device, Tensor, TensorData};
use counted::{Work, note};
use matrix::{Values, check_len};
use spectra_core::backend::{
    Backend, Entrywise, Gradient, Matrix, Result, Scalar, ScalarOp, Stacking, check_memory, composed,
};
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
    /// How many parts a matrix has that is made here: one, but in a backend of stacks.
    count: usize,
    element: PhantomData<E>,
}

impl<E: BurnElement> BurnBackend<E> {
    /// The backend on `device`; whether the device tracks gradients does not matter.
    pub fn new(device: &Device) -> Self {
        let device = device.clone().without_autodiff();
        let on_memory = device == Device::flex();
        Self { device, on_memory, count: 1, element: PhantomData }
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
        check_memory::<E>("zeros", rows.saturating_mul(self.count), cols)?;
        if self.count > 1 {
            let whole = Tensor::zeros([self.count, rows, cols], (&self.device, E::DTYPE));
            return Ok(BurnMatrix::new(Values::Stack(whole)));
        }
        // Stored as its model is, so that entries that meet lie in the same order.
        if rows_like.is_some_and(BurnMatrix::is_transposed) {
            let storage = Tensor::zeros([cols, rows], (&self.device, E::DTYPE));
            return self.wrap(storage, true);
        }
        self.wrap(Tensor::zeros([rows, cols], (&self.device, E::DTYPE)), false)
    }

    /// Where a device is asked for every operation, and does those of all parts at once. In memory one matrix after the other is faster.
    fn stacking(&self) -> Option<&dyn Stacking<Self>> {
        (self.count == 1 && !self.on_memory).then_some(self)
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

    /// Gradients of one shape at once, by a copy of them.
    fn add_squares<'m>(
        sum: Self::Scalar,
        matrices: impl Iterator<Item = &'m Self::Matrix>,
    ) -> Result<Self::Scalar>
    where
        Self::Matrix: 'm,
    {
        let mut groups: Vec<Vec<&BurnMatrix<E>>> = Vec::new();
        for x in matrices {
            let most = (stack::ENTRIES / (x.shape.0 * x.shape.1).max(1)).min(stack::MOST);
            let fits = |group: &&mut Vec<&BurnMatrix<E>>| {
                let are_tensors = group[0].memory().is_none() && x.memory().is_none();
                are_tensors && group[0].shape == x.shape && group.len() < most
            };
            match groups.iter_mut().find(fits) {
                Some(group) => group.push(x),
                None => groups.push(vec![x]),
            }
        }
        groups.into_iter().try_fold(sum, |sum, group| {
            let squares = match &group[..] {
                [one] => one.dot(one)?,
                all => {
                    let parts = all.iter().map(|x| x.single()).collect::<Result<Vec<_>>>()?;
                    note(Work::Gather, 1);
                    BurnScalar::device(tensor_ops::squares(Tensor::stack(parts, 0)))
                }
            };
            BurnScalar::combine(ScalarOp::Add, &sum, &squares)
        })
    }

    fn upload(&self, rows: usize, cols: usize, values: &[E]) -> Result<Self::Matrix> {
        check_len("upload", (rows, cols), values.len())?;
        if self.count > 1 {
            let mut stack = self.zeros(rows, cols, None)?;
            stack.write(values)?;
            return Ok(stack);
        }
        note(Work::Upload, usize::from(!self.on_memory));
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
