//! A matrix in a burn tensor.

use super::memory::Memory;
use burn::tensor::Tensor;
use spectra_core::backend::{Error, Result};
use std::fmt;
use std::marker::PhantomData;

/// A two-dimensional tensor of type `E`.
///
/// A clone is a handle to the same values; like burn's tensors they are copied before the first write while
/// another handle or a user's tensor shares them.
#[derive(Clone)]
pub struct BurnMatrix<E> {
    pub(super) shape: (usize, usize),
    pub(super) values: Values,
    element: PhantomData<E>,
}

/// Where the values are.
#[derive(Clone)]
pub(super) enum Values {
    /// In the memory of the CPU device.
    Memory(Memory),
    /// On any device.
    Tensor(Tensor<2>),
}

impl<E> BurnMatrix<E> {
    pub(super) fn new(values: Values) -> Self {
        let shape = match &values {
            Values::Memory(memory) => memory.shape(),
            Values::Tensor(tensor) => {
                let [rows, cols] = tensor.dims();
                (rows, cols)
            }
        };
        Self { shape, values, element: PhantomData }
    }

    /// The matrix as a tensor, without a copy.
    pub fn into_tensor(self) -> Tensor<2> {
        match self.values {
            Values::Memory(memory) => memory.into_tensor(),
            Values::Tensor(tensor) => tensor,
        }
    }

    /// Whether entries lie column by column in memory.
    pub(crate) fn is_transposed(&self) -> bool {
        matches!(&self.values, Values::Memory(memory) if memory.is_transposed())
    }

    /// Whether a finite result has left the range of the 16 bits that the matrix is kept in, since it was made. Known in the memory
    /// of the CPU device only: another would have to be waited for.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.memory().is_some_and(Memory::has_overflowed)
    }

    /// A handle to the values.
    pub(super) fn tensor(&self) -> Tensor<2> {
        match &self.values {
            Values::Memory(memory) => memory.clone().into_tensor(),
            Values::Tensor(tensor) => tensor.clone(),
        }
    }

    /// The values as they lie in memory, and whether that is the transpose.
    pub(crate) fn stored(&self) -> (Tensor<2>, bool) {
        let (tensor, transposed) = (self.tensor(), self.is_transposed());
        (if transposed { tensor.transpose() } else { tensor }, transposed)
    }

    /// Its memory on the CPU device.
    pub(super) fn memory(&self) -> Option<&Memory> {
        if let Values::Memory(memory) = &self.values { Some(memory) } else { None }
    }
}

impl<E> fmt::Debug for BurnMatrix<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.values {
            Values::Memory(_) => "memory",
            Values::Tensor(_) => "tensor",
        };
        f.debug_struct("BurnMatrix")
            .field("shape", &self.shape)
            .field("transposed", &self.is_transposed())
            .field("place", &place)
            .finish()
    }
}

/// An error unless `len` numbers fill a matrix of `shape`.
pub(super) fn check_len(operation: &'static str, (rows, cols): (usize, usize), len: usize) -> Result<()> {
    if rows.checked_mul(cols) == Some(len) {
        return Ok(());
    }
    Err(Error::shape(operation, (rows, cols), (len.checked_div(cols).unwrap_or(0), cols)))
}
