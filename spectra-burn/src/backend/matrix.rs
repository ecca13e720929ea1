//! A matrix in a burn tensor.

use super::memory::Memory;
use super::stack;
use burn::tensor::{Device, Tensor};
use spectra_core::backend::{Error, Result};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

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
    /// Several of one shape, on any device: part, row, column.
    Stack(Tensor<3>),
    /// One of a stack that is there as long as another of its parts is.
    Part(Arc<Tensor<3>>, usize),
}

impl<E> BurnMatrix<E> {
    pub(super) fn new(values: Values) -> Self {
        let shape = match &values {
            Values::Memory(memory) => memory.shape(),
            Values::Tensor(tensor) => {
                let [rows, cols] = tensor.dims();
                (rows, cols)
            }
            Values::Stack(whole) => last_two(whole),
            Values::Part(whole, _) => last_two(whole),
        };
        Self { shape, values, element: PhantomData }
    }

    /// The matrix as a tensor, without a copy. (Of a [stack](spectra_core::backend::Stacking): its parts below each other.)
    pub fn into_tensor(self) -> Tensor<2> {
        match self.values {
            Values::Memory(memory) => memory.into_tensor(),
            Values::Tensor(tensor) => tensor,
            Values::Stack(whole) => {
                let [count, rows, cols] = whole.dims();
                whole.reshape([count * rows, cols])
            }
            Values::Part(whole, at) => stack::part(&whole, at),
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

    /// Where the values are.
    pub(super) fn device(&self) -> Device {
        match &self.values {
            Values::Memory(_) => Device::flex(),
            Values::Tensor(tensor) => tensor.device(),
            Values::Stack(whole) => whole.device(),
            Values::Part(whole, _) => whole.device(),
        }
    }

    /// A handle to the values.
    pub(super) fn tensor(&self) -> Tensor<2> {
        Self { values: self.values.clone(), ..*self }.into_tensor()
    }

    /// The same of one matrix.
    ///
    /// # Errors
    /// A stack.
    pub(super) fn single(&self) -> Result<Tensor<2>> {
        match &self.values {
            Values::Stack(_) => Err(Error::device("operand", "a stack beside a matrix that is none")),
            _ => Ok(self.tensor()),
        }
    }

    /// The same of a stack of `count` parts.
    ///
    /// # Errors
    /// Anything else.
    pub(super) fn stacked(&self, count: usize) -> Result<Tensor<3>> {
        match &self.values {
            Values::Stack(whole) if whole.dims()[0] == count => Ok(whole.clone()),
            _ => Err(Error::device("operand", "no stack of as many parts, beside a stack")),
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
            Values::Stack(_) => "stack",
            Values::Part(..) => "part of a stack",
        };
        f.debug_struct("BurnMatrix")
            .field("shape", &self.shape)
            .field("transposed", &self.is_transposed())
            .field("place", &place)
            .finish()
    }
}

fn last_two(whole: &Tensor<3>) -> (usize, usize) {
    let [_, rows, cols] = whole.dims();
    (rows, cols)
}

/// An error unless `len` numbers fill a matrix of `shape`.
pub(super) fn check_len(operation: &'static str, (rows, cols): (usize, usize), len: usize) -> Result<()> {
    if rows.checked_mul(cols) == Some(len) {
        return Ok(());
    }
    Err(Error::shape(operation, (rows, cols), (len.checked_div(cols).unwrap_or(0), cols)))
}
