//! A matrix in device memory, owned or borrowed.

use super::CudaElement;
use crate::checked::{Buffer, Device, Region};
use crate::error::{At, CudaError};
use cudarc::driver::sys::CUdeviceptr;
use half::bf16;
use spectra_core::backend::{Error, ErrorKind, Result};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// How the entries of a matrix are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    /// As the backend's element type.
    #[default]
    Element,
    /// As bf16: widened where it is read, rounded once, to nearest, where it is written. For weights and gradients
    /// of an `f32` backend; cuBLAS products of such a matrix are refused.
    Bf16,
}

impl Storage {
    /// Bytes of a number where the element type is `E`.
    pub(crate) fn bytes<E>(self) -> usize {
        match self {
            Self::Element => size_of::<E>(),
            Self::Bf16 => size_of::<half::bf16>(),
        }
    }
}

/// A row-major matrix in device memory: its own, or somebody else's that
/// [`CudaBackend::matrix_at`](crate::CudaBackend::matrix_at) borrowed.
pub struct CudaMatrix<E> {
    pub(super) device: Arc<Device>,
    pub(super) region: Region,
    /// Frees an owned matrix.
    _memory: Option<Buffer>,
    element: PhantomData<E>,
}

impl<E> fmt::Debug for CudaMatrix<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudaMatrix")
            .field("region", &self.region)
            .field("owned", &self._memory.is_some())
            .finish_non_exhaustive()
    }
}

impl<E: CudaElement> CudaMatrix<E> {
    pub(super) fn zeros(device: &Arc<Device>, rows: usize, cols: usize) -> Result<Self> {
        const NAME: &str = "zeros";
        let fits = |count: &usize| {
            count.checked_mul(size_of::<E>()).is_some_and(|bytes| isize::try_from(bytes).is_ok())
        };
        let count = rows.checked_mul(cols).filter(fits);
        let count = count.ok_or(CudaError::MatrixTooLarge { rows, cols }).at(NAME)?;
        let memory = device.allocate::<E>(count).at(NAME)?;
        let region = Region { pointer: memory.pointer(), rows, cols, ld: cols, bf16: false };
        Ok(Self { device: device.clone(), region, _memory: Some(memory), element: PhantomData })
    }

    pub(super) fn borrowed(
        device: &Arc<Device>,
        pointer: CUdeviceptr,
        (rows, cols): (usize, usize),
        ld: usize,
        storage: Storage,
    ) -> Result<Self> {
        const NAME: &str = "matrix_at";
        if ld < cols {
            return Err(CudaError::LeadingDimension { ld, cols }.at(NAME));
        }
        let bf16 = storage == Storage::Bf16;
        if bf16 && device.products().is_double() {
            let what = "bf16 storage in f64 arithmetic";
            return Err(Error::new(NAME, ErrorKind::Unsupported { what }));
        }
        let region = Region { pointer, rows, cols, ld, bf16 };
        Ok(Self { device: device.clone(), region, _memory: None, element: PhantomData })
    }

    /// Where the first entry is, for the caller's own kernels on the same stream.
    pub fn device_pointer(&self) -> CUdeviceptr {
        self.region.pointer
    }

    /// Elements from one row to the next.
    pub fn leading_dimension(&self) -> usize {
        self.region.ld
    }

    /// Copies all entries to `out`, and waits.
    pub(super) fn read_entries(&self, out: &mut [E]) -> std::result::Result<(), CudaError> {
        if self.region.is_empty() {
            return Ok(());
        }
        if !self.region.bf16 {
            // SAFETY: `rows` covers the region, and the wait comes before the borrow ends.
            unsafe { self.rows::<E>(out.chunks_exact_mut(self.row_length())) }?;
            return self.device.wait();
        }
        let mut stored = vec![bf16::ZERO; out.len()];
        // SAFETY: as above.
        unsafe { self.rows::<bf16>(stored.chunks_exact_mut(self.row_length())) }?;
        self.device.wait()?;
        out.iter_mut().zip(&stored).for_each(|(out, stored)| *out = E::of_bf16(*stored));
        Ok(())
    }

    /// Replaces all entries.
    pub(super) fn write_entries(&mut self, values: &[E]) -> std::result::Result<(), CudaError> {
        if self.region.is_empty() {
            return Ok(());
        }
        for (row, values) in values.chunks_exact(self.row_length()).enumerate() {
            // SAFETY: the region holds `row_length` entries from this place on.
            unsafe {
                if self.region.bf16 {
                    // An f64 backend has no bf16 storage.
                    let rounded = values.iter().filter_map(|x| x.to_bf16()).collect();
                    self.device.upload::<bf16>(self.row::<bf16>(row), rounded)?;
                } else {
                    self.device.upload(self.row::<E>(row), values.to_vec())?;
                }
            }
        }
        Ok(())
    }

    /// Entries that are copied at once: a row, or everything where rows follow each other without gaps.
    fn row_length(&self) -> usize {
        let Region { rows, cols, .. } = self.region;
        if self.region.is_contiguous() { rows * cols } else { cols }
    }

    fn row<T>(&self, row: usize) -> CUdeviceptr {
        self.region.pointer + (row * self.region.ld * size_of::<T>()) as u64
    }

    /// # Safety
    /// `T` is the storage; the rows are those of the region, and stay borrowed until the host has waited.
    unsafe fn rows<'a, T: cudarc::driver::DeviceRepr + 'a>(
        &self,
        rows: impl Iterator<Item = &'a mut [T]>,
    ) -> std::result::Result<(), CudaError> {
        for (row, values) in rows.enumerate() {
            // SAFETY: the caller's promise.
            unsafe { self.device.download(self.row::<T>(row), values) }?;
        }
        Ok(())
    }
}
