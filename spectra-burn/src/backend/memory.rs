//! The memory of a tensor on the CPU device.

use super::element::BurnElement;
use burn::backend::{BackendTypes, Flex};
use burn::tensor::{DType, Tensor};
use spectra_core::backend::{Error, Op, Result};
use spectra_core::faer::{MatrixMut, MatrixRef, Values, ValuesMut};
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};

/// Burn's tensor of the CPU device: shared memory with a layout, copied on the first write while it is shared.
pub(super) type FlexTensor = <Flex as BackendTypes>::FloatTensorPrimitive;

/// A matrix in contiguous memory, or the transpose of one.
///
/// Burn's `Linear` stores `in x out`; its transpose is the matrix with rows = output features, and nothing is moved.
pub(super) struct Memory {
    /// Row-major and as long as its shape says.
    storage: FlexTensor,
    transposed: bool,
    /// A finite result was rounded to an infinity of 16 bits.
    overflow: AtomicBool,
}

/// A handle to the same values, which has written nothing yet.
impl Clone for Memory {
    fn clone(&self) -> Self {
        let Self { storage, transposed, .. } = self;
        Self { storage: storage.clone(), transposed: *transposed, overflow: AtomicBool::new(false) }
    }
}

/// `A` or `A^T` as it lies in memory.
pub(super) type Operand<'a, E> = (MatrixRef<'a, E>, Op);

impl Memory {
    /// Takes a tensor of the CPU device, or its transpose.
    pub(super) fn new(storage: Tensor<2>, transposed: bool) -> Result<Self> {
        let storage =
            storage.try_into_primitive::<Flex>().map_err(|e| Error::device("memory", format!("{e:?}")))?;
        // A transposed view of contiguous memory is contiguous again with the other flag.
        let turned = storage.transpose(0, 1);
        Ok(if !storage.is_contiguous() && turned.is_contiguous() {
            drop(storage);
            Self::filled(turned, !transposed)
        } else {
            drop(turned);
            Self::filled(storage, transposed)
        })
    }

    fn filled(storage: FlexTensor, transposed: bool) -> Self {
        Self { storage: filled(storage), transposed, overflow: AtomicBool::new(false) }
    }

    /// Whether a finite result has left the range of the 16 bits that the values are kept in, since the matrix was made.
    pub(super) fn has_overflowed(&self) -> bool {
        self.overflow.load(Ordering::Relaxed)
    }

    /// As a tensor; no copy.
    pub(super) fn into_tensor(self) -> Tensor<2> {
        let tensor = Tensor::from_primitive::<Flex>(self.storage);
        if self.transposed { tensor.transpose() } else { tensor }
    }

    pub(super) fn is_transposed(&self) -> bool {
        self.transposed
    }

    /// Rows and columns as they lie in memory.
    fn stored_shape(&self) -> (usize, usize) {
        let shape = self.storage.layout().shape();
        (shape[0], shape[1])
    }

    /// Rows and columns.
    pub(super) fn shape(&self) -> (usize, usize) {
        let (rows, cols) = self.stored_shape();
        if self.transposed { (cols, rows) } else { (rows, cols) }
    }

    fn is_empty(&self) -> bool {
        self.storage.layout().num_elements() == 0
    }

    /// The values as they lie in memory.
    fn values<E: BurnElement>(&self) -> Values<'_, E> {
        match self.storage.dtype() {
            // Empty memory has no alignment.
            _ if self.is_empty() => Values::default(),
            DType::BF16 => Values::Bf16(self.storage.storage()),
            DType::F16 => Values::F16(self.storage.storage()),
            _ => Values::Full(E::values(&self.storage)),
        }
    }

    /// The same, to change; other tensors that share the memory keep theirs. 16 bits without room for a result are noted.
    fn values_mut<E: BurnElement>(&mut self) -> ValuesMut<'_, E> {
        let values = match self.storage.dtype() {
            _ if self.is_empty() => ValuesMut::default(),
            DType::BF16 => ValuesMut::bf16(self.storage.storage_mut()),
            DType::F16 => ValuesMut::f16(self.storage.storage_mut()),
            _ => ValuesMut::Full(E::values_mut(&mut self.storage)),
        };
        values.telling(&self.overflow)
    }

    /// Reads the values, row by row.
    pub(super) fn read<E: BurnElement>(&self, out: &mut [E]) {
        self.in_order(false).values().full(|values| out.copy_from_slice(values));
    }

    /// Replaces the values by `values`, given row by row.
    pub(super) fn write<E: BurnElement>(&mut self, values: &[E]) -> Result<()> {
        let (rows, cols) = self.shape();
        let transposed = self.transposed;
        let mut stored = self.values_mut();
        if !transposed {
            return stored.write(values);
        }
        stored.full(|stored| {
            for (j, column) in stored.chunks_exact_mut(rows.max(1)).enumerate() {
                for (i, x) in column.iter_mut().enumerate() {
                    *x = values[i * cols + j];
                }
            }
        });
        Ok(())
    }

    /// `op` of this matrix, for a product.
    pub(super) fn operand<E: BurnElement>(&self, op: Op) -> Result<Operand<'_, E>> {
        let (rows, cols) = self.stored_shape();
        let op = if self.transposed { flip(op) } else { op };
        Ok((MatrixRef::stored(self.values(), rows, cols)?, op))
    }

    /// The memory as a matrix.
    pub(super) fn stored<E: BurnElement>(&self) -> Result<MatrixRef<'_, E>> {
        let (rows, cols) = self.stored_shape();
        MatrixRef::stored(self.values(), rows, cols)
    }

    /// The memory as a matrix, to change.
    pub(super) fn stored_mut<E: BurnElement>(&mut self) -> Result<MatrixMut<'_, E>> {
        let (rows, cols) = self.stored_shape();
        MatrixMut::stored(self.values_mut(), rows, cols)
    }

    /// The same matrix with its entries in the other order or not, as asked.
    pub(super) fn in_order(&self, transposed: bool) -> Cow<'_, Self> {
        if self.transposed == transposed {
            return Cow::Borrowed(self);
        }
        Cow::Owned(Self::filled(self.storage.transpose(0, 1), transposed))
    }
}

pub(super) fn flip(op: Op) -> Op {
    match op {
        Op::Plain => Op::Transposed,
        Op::Transposed => Op::Plain,
    }
}

/// Row-major and without anything before or behind the values; a copy if it has to be.
fn filled(tensor: FlexTensor) -> FlexTensor {
    let len = tensor.layout().num_elements();
    if tensor.is_contiguous()
        && tensor.layout().start_offset() == 0
        && tensor.bytes().len() == len * size(&tensor)
    {
        // Sides of length one may carry any stride.
        let shape = tensor.layout().shape().clone();
        return tensor.reshape(shape);
    }
    tensor.to_contiguous()
}

fn size(tensor: &FlexTensor) -> usize {
    tensor.dtype().size()
}
