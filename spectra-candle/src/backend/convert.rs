//! From a user's tensors and variables to matrices and back.

use super::element::CandleElement;
use super::matrix::{CandleMatrix, at, check_len};
use super::{CandleBackend, memory};
use candle_core::Result as CandleResult;
use candle_core::{DType, Tensor, Var};
use spectra_core::backend::{Error, ErrorKind, Matrix, Result, Scalar};
use spectra_core::optimizer::plan::Block;
use std::marker::PhantomData;
use std::sync::atomic::AtomicBool;

impl<E: CandleElement> CandleBackend<E> {
    /// A user's tensor of any rank as a `rows x cols` matrix, to read; the tensor never changes.
    ///
    /// No copy if the tensor is contiguous and of type `E`, or on the CPU of bf16 or f16, which operations widen a piece at a
    /// time; it is then copied before a first write. A transposed or otherwise strided view is copied; other types that `E`
    /// contains are widened to it.
    ///
    /// # Errors
    /// If the tensor lies on another device, its type is not contained in `E`, or it does not have `rows * cols`
    /// elements.
    pub fn matrix(&self, tensor: &Tensor, (rows, cols): (usize, usize)) -> Result<CandleMatrix<E>> {
        self.check("matrix", tensor, (rows, cols))?;
        let dtype = if self.operates_on(tensor.dtype()) { tensor.dtype() } else { E::DTYPE };
        let matrix = tensor.detach().to_dtype(dtype).and_then(|t| t.contiguous()?.reshape((rows, cols)));
        Ok(self.wrap(at("matrix", matrix)?, true, None))
    }

    /// A variable as a `rows x cols` matrix, to change: as with `Var::set`, every tensor that shares the
    /// variable's memory sees the changes.
    ///
    /// On the CPU a variable of bf16 or f16 changes as one of type `E` does: every operation rounds its result once. Any other
    /// is widened into a matrix of its own; [`write_back`](Self::write_back) rounds the result into the variable.
    ///
    /// # Errors
    /// As [`matrix`](Self::matrix).
    pub fn variable(&self, var: &Var, (rows, cols): (usize, usize)) -> Result<CandleMatrix<E>> {
        if !self.lies_in(var) {
            return self.matrix(var, (rows, cols));
        }
        self.check("variable", var, (rows, cols))?;
        let view = var.as_detached_tensor().reshape((rows, cols));
        Ok(self.wrap(at("variable", view)?, true, Some(var.clone())))
    }

    /// A block of a contiguous tensor as a matrix to read, `out x in`; no copy where the block's numbers lie next to each other.
    pub(crate) fn block(&self, tensor: &Tensor, block: &Block) -> Result<CandleMatrix<E>> {
        let view = at("block", stored(tensor, block))?;
        let view = if block.place().transposed { at("block", view.t())? } else { view };
        self.matrix(&view, block.shape())
    }

    /// A block of a variable as a matrix to change: in the variable's own memory where
    /// [`changes_in_place`](Self::changes_in_place) and the block [is contiguous](Block::is_contiguous), else a copy that
    /// [`write_block_back`](Self::write_block_back) puts in its place.
    pub(crate) fn variable_block(&self, var: &Var, block: &Block) -> Result<CandleMatrix<E>> {
        if !(self.changes_in_place(var) && block.is_contiguous()) {
            return self.block(var, block);
        }
        let view = at("variable", stored(&var.as_detached_tensor(), block))?;
        self.check("variable", &view, block.shape())?;
        Ok(self.wrap(view, true, Some(var.clone())))
    }

    /// Rounds the values once to the variable's type and puts them in the block's place.
    pub(crate) fn write_block_back(&self, matrix: &CandleMatrix<E>, var: &Var, block: &Block) -> Result<()> {
        if memory::same_storage(&matrix.tensor, var) {
            return Ok(());
        }
        let place = block.place();
        let write = || {
            let values = if place.transposed { matrix.tensor.t()? } else { matrix.tensor.clone() };
            let values = values.to_dtype(var.dtype())?.contiguous()?;
            let whole = var.as_detached_tensor().reshape(((), place.stride))?;
            match place.start % place.stride {
                0 if block.stored().1 == place.stride => {
                    whole.slice_set(&values, 0, place.start / place.stride)
                }
                column => whole.slice_set(&values, 1, column),
            }
        };
        at("write_back", write())
    }

    /// Whether operations on [`variable`](Self::variable) run on the variable's own memory.
    pub(crate) fn changes_in_place(&self, var: &Var) -> bool {
        !self.tensor_operations && self.lies_in(var)
    }

    /// Whether a matrix can lie in the variable's memory.
    fn lies_in(&self, var: &Var) -> bool {
        self.operates_on(var.dtype()) && var.is_contiguous()
    }

    /// Whether operations take values of this type as they are.
    fn operates_on(&self, dtype: DType) -> bool {
        dtype == E::DTYPE || !self.tensor_operations && matches!(dtype, DType::BF16 | DType::F16)
    }

    /// Rounds the values once to the variable's type and sets it. Nothing to do for a matrix that already
    /// writes into this variable.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn write_back(&self, matrix: &CandleMatrix<E>, var: &Var) -> Result<()> {
        if memory::same_storage(&matrix.tensor, var) {
            return Ok(());
        }
        let rounded = matrix.tensor.reshape(var.shape()).and_then(|t| t.to_dtype(var.dtype()));
        at("write_back", rounded.and_then(|t| var.set(&t)))
    }

    /// Whether [`write_back`](Self::write_back) rounds the finite `matrix` to infinities. Answers on the CPU only: another device
    /// would have to be waited for.
    pub(crate) fn overflows(&self, matrix: &CandleMatrix<E>, var: &Var) -> Result<bool> {
        if !self.device.is_cpu() || memory::same_storage(&matrix.tensor, var) {
            return Ok(false);
        }
        let largest = matrix.max_abs()?.read()?;
        let rounded =
            Tensor::new(largest, &self.device).and_then(|t| t.to_dtype(var.dtype())?.to_dtype(DType::F64));
        let rounded: f64 = at("write_back", rounded.and_then(|t| t.to_scalar()))?;
        Ok(largest.is_finite() && rounded.is_infinite())
    }

    pub(super) fn wrap(&self, tensor: Tensor, shared: bool, var: Option<Var>) -> CandleMatrix<E> {
        let (shared, on_memory) = (AtomicBool::new(shared), !self.tensor_operations);
        CandleMatrix {
            tensor,
            var,
            shared,
            on_memory,
            overflow: AtomicBool::new(false),
            element: PhantomData,
        }
    }

    fn check(&self, operation: &'static str, tensor: &Tensor, shape: (usize, usize)) -> Result<()> {
        let refuse = |what| Err(Error::new(operation, ErrorKind::Unsupported { what }));
        if !tensor.device().same_device(&self.device) {
            return refuse("a tensor on another device");
        }
        let contained = match tensor.dtype() {
            DType::BF16 | DType::F16 | DType::F32 => true,
            dtype => dtype == E::DTYPE,
        };
        if !contained {
            return refuse("an integer or 8-bit tensor, or f64 in f32 arithmetic,");
        }
        check_len(operation, shape, tensor.elem_count())
    }
}

/// The stored block of a contiguous tensor, a view.
fn stored(tensor: &Tensor, block: &Block) -> CandleResult<Tensor> {
    let (place, (rows, cols)) = (block.place(), block.stored());
    let whole = tensor.reshape(((), place.stride))?;
    whole.narrow(0, place.start / place.stride, rows)?.narrow(1, place.start % place.stride, cols)
}
