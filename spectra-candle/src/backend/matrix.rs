//! A matrix in a candle tensor, and who else may see its memory.

use super::element::CandleElement;
use super::memory;
use candle_core::{Error as CandleError, Result as CandleResult, Tensor, Var};
use spectra_core::backend::{Error, Result};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};

/// A contiguous two-dimensional tensor of type `E`, or of bf16 or f16 where operations run on CPU memory.
///
/// Made by [`CandleBackend`](crate::CandleBackend): [`zeros`](spectra_core::backend::Backend::zeros) and
/// `upload` own their memory; [`matrix`](crate::CandleBackend::matrix) borrows a user's tensor and copies it
/// before the first write, [`variable`](crate::CandleBackend::variable) writes into a `Var` as `Var::set` does.
///
/// A handle escapes by [`share`](Self::share) only, which gives up ownership, so the matrix always knows whether
/// it may write in place. A clone is such a handle: cheap, and whichever of the two changes first is copied; the
/// clone of a variable's matrix writes into the same variable.
pub struct CandleMatrix<E> {
    pub(super) tensor: Tensor,
    /// The variable that is meant to change with the tensor, which lies in its memory.
    pub(super) var: Option<Var>,
    /// Others may hold the memory: copy before the first write. Of no meaning for a variable.
    pub(super) shared: AtomicBool,
    /// Operate on CPU memory, not by tensor operations.
    pub(super) on_memory: bool,
    /// A finite result was rounded to an infinity of 16 bits; known on CPU memory only.
    pub(super) overflow: AtomicBool,
    pub(super) element: PhantomData<E>,
}

impl<E> fmt::Debug for CandleMatrix<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CandleMatrix")
            .field("shape", &self.tensor.dims())
            .field("dtype", &self.tensor.dtype())
            .field("device", &self.tensor.device().location())
            .field("variable", &self.var.is_some())
            .field("shared", &self.shared)
            .finish()
    }
}

impl<E: CandleElement> Clone for CandleMatrix<E> {
    fn clone(&self) -> Self {
        Self {
            tensor: self.share(),
            var: self.var.clone(),
            shared: AtomicBool::new(true),
            on_memory: self.on_memory,
            overflow: AtomicBool::new(false),
            element: PhantomData,
        }
    }
}

impl<E: CandleElement> CandleMatrix<E> {
    /// The matrix as a tensor, without a copy.
    ///
    /// Later changes of a matrix from [`variable`](crate::CandleBackend::variable) show in the tensor; any
    /// other matrix copies itself before it changes again.
    pub fn share(&self) -> Tensor {
        // Whoever writes later has `&mut self`, and with it a happens-before: no stronger order is needed.
        self.shared.store(true, Ordering::Relaxed);
        self.tensor.clone()
    }

    /// The matrix's tensor.
    pub fn into_tensor(self) -> Tensor {
        self.tensor
    }

    /// Whether a finite result has left the range of the 16 bits that the matrix is kept in, since it was made.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.overflow.load(Ordering::Relaxed)
    }

    /// Runs `f` on the values, row-major; where they are, if that is the CPU and their type `E`.
    pub(crate) fn with_values<R>(&self, f: impl FnOnce(&[E]) -> R) -> Result<R> {
        let result = if self.on_memory {
            memory::read([&self.tensor], |[values]| values.full(f))
        } else {
            self.tensor.flatten_all().and_then(|t| t.to_vec1()).map(|values| f(&values))
        };
        at("read", result)
    }

    /// Makes the memory safe to write: a copy if others share it.
    pub(super) fn writable(&mut self) -> CandleResult<()> {
        if self.var.is_none() && *self.shared.get_mut() {
            self.tensor = self.tensor.force_contiguous()?;
            self.shared = AtomicBool::new(false);
        }
        Ok(())
    }

    /// Replaces the values by those of `fresh`, a tensor that nobody else holds.
    pub(super) fn assign(&mut self, fresh: Tensor) -> CandleResult<()> {
        if let Some(var) = &self.var {
            return var.set(&fresh.reshape(var.shape())?);
        }
        self.tensor = fresh;
        self.shared = AtomicBool::new(false);
        Ok(())
    }

    /// Prepares for writing to `written` while reading `operands` (on the CPU, where both are held at once):
    /// shared memory is copied, and so is an operand in the memory of a variable that is written.
    ///
    /// # Errors
    /// If two of `written` are the same variable.
    pub(super) fn prepare<'a, const W: usize, const R: usize>(
        written: &mut [&mut Self; W],
        operands: [&'a Tensor; R],
    ) -> CandleResult<[Cow<'a, Tensor>; R]> {
        let mut operands = operands.map(Cow::Borrowed);
        for i in 0..W {
            written[i].writable()?;
            if written[i].var.is_none() {
                continue;
            }
            let tensor = &written[i].tensor;
            if written[..i].iter().any(|other| memory::same_storage(tensor, &other.tensor)) {
                return Err(CandleError::Msg("one variable is written as two matrices at once".into()));
            }
            for operand in &mut operands {
                if memory::same_storage(tensor, operand) {
                    *operand = Cow::Owned(operand.force_contiguous()?);
                }
            }
        }
        Ok(operands)
    }
}

/// Wraps candle's errors, naming the operation.
pub(super) fn at<T>(operation: &'static str, result: CandleResult<T>) -> Result<T> {
    result.map_err(|e| Error::device(operation, e))
}

/// An error unless `len` numbers fill a matrix of `shape`.
pub(super) fn check_len(operation: &'static str, (rows, cols): (usize, usize), len: usize) -> Result<()> {
    if rows.checked_mul(cols) == Some(len) {
        return Ok(());
    }
    Err(Error::shape(operation, (rows, cols), (len.checked_div(cols).unwrap_or(0), cols)))
}
