//! A matrix in device memory, owned or borrowed.

use super::CudaElement;
use crate::checked::{Buffer, Device, Region, Storage};
use crate::error::{At, CudaError};
use cudarc::driver::sys::CUdeviceptr;
use half::{bf16, f16};
use spectra_core::backend::{Error, ErrorKind, Result};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

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
    pub(super) fn zeros(
        device: &Arc<Device>,
        (rows, cols): (usize, usize),
        storage: Storage,
    ) -> Result<Self> {
        const NAME: &str = "zeros";
        let count = rows.checked_mul(cols).and_then(|count| count.checked_mul(storage.bytes(size_of::<E>())));
        let bytes = count.filter(|bytes| isize::try_from(*bytes).is_ok());
        let bytes = bytes.ok_or(CudaError::MatrixTooLarge { rows, cols }).at(NAME)?;
        let memory = device.allocate::<u8>(bytes).at(NAME)?;
        let region = Region { pointer: memory.pointer(), rows, cols, ld: cols, storage };
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
        if storage != Storage::Element && device.products().is_double() {
            let what = "storage in 16 bits in f64 arithmetic";
            return Err(Error::new(NAME, ErrorKind::Unsupported { what }));
        }
        let region = Region { pointer, rows, cols, ld, storage };
        Ok(Self { device: device.clone(), region, _memory: None, element: PhantomData })
    }

    /// Where the first entry is, for the caller's own kernels on the same stream.
    pub fn device_pointer(&self) -> CUdeviceptr {
        self.region.pointer
    }

    /// How the entries are stored.
    pub fn storage(&self) -> Storage {
        self.region.storage
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
        if self.region.storage == Storage::Element {
            // SAFETY: `rows` covers the region, and the wait comes before the borrow ends.
            unsafe { self.rows::<E>(out.chunks_exact_mut(self.row_length())) }?;
            return self.device.wait();
        }
        let mut stored = vec![0u16; out.len()];
        // SAFETY: as above.
        unsafe { self.rows::<u16>(stored.chunks_exact_mut(self.row_length())) }?;
        self.device.wait()?;
        let widen = |bits| match self.region.storage {
            Storage::Fp16 => f16::from_bits(bits).to_f32(),
            Storage::Bf16 | Storage::Element => bf16::from_bits(bits).to_f32(),
        };
        out.iter_mut().zip(&stored).for_each(|(out, bits)| *out = E::of_single(widen(*bits)));
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
                let narrow: fn(f32) -> u16 = match self.region.storage {
                    Storage::Element => {
                        self.device.upload(self.row::<E>(row), values.to_vec())?;
                        continue;
                    }
                    Storage::Bf16 => |x| bf16::from_f32(x).to_bits(),
                    Storage::Fp16 => |x| f16::from_f32(x).to_bits(),
                };
                let rounded = values.iter().map(|x| narrow(x.to_single())).collect();
                self.device.upload::<u16>(self.row::<u16>(row), rounded)?;
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
