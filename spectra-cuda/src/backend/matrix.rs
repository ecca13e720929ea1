//! A matrix in device memory, owned or borrowed.

use super::{CudaElement, check_device};
use crate::checked::{Buffer, Device, Region, Storage, Table};
use crate::error::{At, CudaError};
use cudarc::driver::sys::CUdeviceptr;
use half::{bf16, f16};
use spectra_core::backend::{Error, ErrorKind, Result, check_same};
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
    /// Where the parts of a stack lie.
    pub(super) table: Option<Table>,
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
    /// Zeros; a stack of `count` if that is more than 1.
    pub(super) fn zeros(
        device: &Arc<Device>,
        (rows, cols): (usize, usize),
        storage: Storage,
        count: usize,
    ) -> Result<Self> {
        const NAME: &str = "zeros";
        let part =
            rows.checked_mul(cols).and_then(|entries| entries.checked_mul(storage.bytes(size_of::<E>())));
        let fits = |bytes: &(usize, usize)| isize::try_from(bytes.1).is_ok();
        let bytes = part.and_then(|part| Some((part, part.checked_mul(count)?))).filter(fits);
        let (part, bytes) = bytes.ok_or(CudaError::MatrixTooLarge { rows, cols }).at(NAME)?;
        let memory = device.allocate::<u8>(bytes).at(NAME)?;
        let pointer = memory.pointer();
        let region = Region { pointer, rows, cols, ld: cols, storage, count: 1 };
        let one =
            Self { device: device.clone(), region, _memory: Some(memory), table: None, element: PhantomData };
        if count == 1 {
            return Ok(one);
        }
        let places = (0..count).map(|i| pointer + (i * part) as CUdeviceptr);
        one.stacked(places.collect(), None)
    }

    /// The stack of matrices like this one at these places.
    fn stacked(self, pointers: Vec<CUdeviceptr>, last: Option<Table>) -> Result<Self> {
        let count = pointers.len();
        let table = self.device.table(pointers, last).at("stack")?;
        let region = Region { pointer: table.place(), count, ..self.region };
        Ok(Self { region, table: Some(table), ..self })
    }

    /// The stack of `parts`, which are of one shape and storage: it shares their memory.
    pub(super) fn stack(parts: &[&Self], last: Option<Self>) -> Result<Self> {
        const NAME: &str = "stack";
        let [first, ..] = parts else {
            return Err(Error::argument(NAME, "parts", 0.0, "at least one"));
        };
        for part in parts {
            check_device(NAME, &first.device, &part.device)?;
            check_same(NAME, *first, *part)?;
            if !first.is_like(part) {
                let what = "a stack of matrices with other gaps between rows, or of another storage";
                return Err(Error::new(NAME, ErrorKind::Unsupported { what }));
            }
        }
        let region = first.region;
        let one =
            Self { device: first.device.clone(), region, _memory: None, table: None, element: PhantomData };
        let last = last.and_then(|last| last.table);
        one.stacked(parts.iter().map(|part| part.region.pointer).collect(), last)
    }

    /// Whether another matrix of this shape is stored alike, and both are single ones.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let (a, b) = (&self.region, &other.region);
        (a.ld, a.storage, a.count, b.count) == (b.ld, b.storage, 1, 1)
    }

    /// Part `i` of a stack; the matrix itself where it is none.
    pub(super) fn part(&self, i: usize) -> Region {
        let place = self.table.as_ref().and_then(|table| table.pointers.get(i));
        place.map_or(self.region, |pointer| Region { pointer: *pointer, count: 1, ..self.region })
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
        let region = Region { pointer, rows, cols, ld, storage, count: 1 };
        Ok(Self { device: device.clone(), region, _memory: None, table: None, element: PhantomData })
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

    /// Replaces all entries, those of every part of a stack by the same.
    pub(super) fn write_entries(&mut self, values: &[E]) -> std::result::Result<(), CudaError> {
        if self.region.is_empty() {
            return Ok(());
        }
        let rows = || values.chunks_exact(self.row_length()).enumerate();
        for (part, (row, values)) in (0..self.region.count).flat_map(|i| rows().map(move |row| (i, row))) {
            let part = self.part(part);
            // SAFETY: the part holds `row_length` entries from this place on.
            unsafe {
                let narrow: fn(f32) -> u16 = match self.region.storage {
                    Storage::Element => {
                        self.device.upload(row_of::<E>(part, row), values.to_vec())?;
                        continue;
                    }
                    Storage::Bf16 => |x| bf16::from_f32(x).to_bits(),
                    Storage::Fp16 => |x| f16::from_f32(x).to_bits(),
                };
                let rounded = values.iter().map(|x| narrow(x.to_single())).collect();
                self.device.upload::<u16>(row_of::<u16>(part, row), rounded)?;
            }
        }
        Ok(())
    }

    /// Entries that are copied at once: a row, or everything where rows follow each other without gaps.
    fn row_length(&self) -> usize {
        let Region { rows, cols, .. } = self.region;
        if self.region.is_contiguous() { rows * cols } else { cols }
    }

    /// # Safety
    /// `T` is the storage; the rows are those of the region, and stay borrowed until the host has waited.
    unsafe fn rows<'a, T: cudarc::driver::DeviceRepr + 'a>(
        &self,
        rows: impl Iterator<Item = &'a mut [T]>,
    ) -> std::result::Result<(), CudaError> {
        for (row, values) in rows.enumerate() {
            // SAFETY: the caller's promise.
            unsafe { self.device.download(row_of::<T>(self.region, row), values) }?;
        }
        Ok(())
    }
}

/// Where a row begins.
fn row_of<T>(region: Region, row: usize) -> CUdeviceptr {
    region.pointer + (row * region.ld * size_of::<T>()) as CUdeviceptr
}
