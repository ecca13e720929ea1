//! Device memory: buffers, single numbers, and what kernels use as working memory.

use super::Device;
use super::tally::Counters;
use crate::error::CudaError;
use cudarc::driver::sys::CUdeviceptr;
use cudarc::driver::{CudaSlice, DevicePtr, DeviceRepr, ValidAsZeroBits};
use std::sync::{Arc, Mutex, PoisonError};

/// Zeroed device memory, freed in the stream's order.
#[derive(Debug)]
pub(crate) struct Buffer {
    memory: CudaSlice<u64>,
    pointer: CUdeviceptr,
}

impl Buffer {
    pub(crate) fn pointer(&self) -> CUdeviceptr {
        self.pointer
    }

    /// Whether it holds `bytes`.
    pub(crate) fn holds(&self, bytes: usize) -> bool {
        self.memory.num_bytes() >= bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // cudarc frees in whatever context is current, which for the default stream may be another device's.
        let context = self.memory.context();
        // An error that is kept for the next call must neither prevent that nor get lost.
        let kept = context.check_err();
        context.record_err(context.bind_to_thread());
        context.record_err(kept);
    }
}

/// Numbers that are handed out one by one.
#[derive(Debug, Default)]
pub(super) struct Slots {
    chunks: Vec<Buffer>,
    free: Vec<CUdeviceptr>,
}

impl Slots {
    pub(super) fn add(&mut self, chunk: Buffer) {
        let first = chunk.pointer();
        self.free.extend((0..CHUNK as u64).map(|i| first + 8 * i));
        self.chunks.push(chunk);
    }
}

/// Slots of a chunk: a step of a large model holds one or two for each parameter.
pub(super) const CHUNK: usize = 1024;

/// One `f64` on the device. Given back when dropped: work that is queued before reads it before whoever gets it next
/// writes it, on the same stream.
#[derive(Debug)]
pub(crate) struct Slot {
    device: Arc<Device>,
    place: CUdeviceptr,
}

impl Slot {
    pub(crate) fn place(&self) -> CUdeviceptr {
        self.place
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.device.slots).free.push(self.place);
    }
}

/// A poisoned lock guards nothing that a panic could have left half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Device {
    /// `count` zeros of type `T`.
    pub(crate) fn allocate<T>(&self, count: usize) -> Result<Buffer, CudaError> {
        let too_large = CudaError::TooLarge { what: "a buffer", size: count };
        let bytes = count.checked_mul(size_of::<T>()).ok_or(too_large)?;
        Counters::add(&self.counters.allocations, 1);
        zeroed(&self.stream, bytes)
    }

    /// A free slot, with an old value in it.
    pub(crate) fn slot(self: &Arc<Self>) -> Result<Slot, CudaError> {
        let mut slots = lock(&self.slots);
        if slots.free.is_empty() {
            slots.add(self.allocate::<f64>(CHUNK)?);
        }
        let place = slots.free.pop().unwrap_or_default();
        Ok(Slot { device: self.clone(), place })
    }

    /// Working memory of one call, at least `count` doubles; grows on the first steps only.
    pub(super) fn working(&self, count: usize) -> Result<CUdeviceptr, CudaError> {
        let mut working = lock(&self.working);
        match &*working {
            Some(buffer) if buffer.holds(8 * count) => Ok(buffer.pointer()),
            _ => Ok(working.insert(self.allocate::<f64>(count)?).pointer()),
        }
    }

    /// Copies `values` to the device. The driver takes pageable memory to a place of its own before it returns, but may
    /// read pinned memory later: so it gets the values in a vector, which is pageable.
    ///
    /// # Safety
    /// `pointer` must have room for them.
    pub(crate) unsafe fn upload<T: DeviceRepr>(
        &self,
        pointer: CUdeviceptr,
        values: Vec<T>,
    ) -> Result<(), CudaError> {
        self.stream.context().bind_to_thread()?;
        // SAFETY: the caller's promise.
        unsafe { cudarc::driver::result::memcpy_htod_async(pointer, &values, self.stream.cu_stream()) }?;
        Ok(())
    }

    /// Copies to the host; complete only after [`wait`](Self::wait).
    ///
    /// # Safety
    /// `pointer` must hold as many values; they must stay borrowed until the host has waited.
    pub(crate) unsafe fn download<T: DeviceRepr>(
        &self,
        pointer: CUdeviceptr,
        values: &mut [T],
    ) -> Result<(), CudaError> {
        self.stream.context().bind_to_thread()?;
        // SAFETY: the caller's promise.
        unsafe { cudarc::driver::result::memcpy_dtoh_async(values, pointer, self.stream.cu_stream()) }?;
        Ok(())
    }

    /// Waits for everything queued on the stream.
    pub(crate) fn wait(&self) -> Result<(), CudaError> {
        Counters::add(&self.counters.waits, 1);
        Ok(self.stream.synchronize()?)
    }
}

/// At least one word: a pointer to nothing is legal for an empty matrix, an allocation of nothing is not.
pub(super) fn zeroed(stream: &Arc<cudarc::driver::CudaStream>, bytes: usize) -> Result<Buffer, CudaError> {
    fn zeros<T: DeviceRepr + ValidAsZeroBits>(
        stream: &Arc<cudarc::driver::CudaStream>,
        count: usize,
    ) -> Result<CudaSlice<T>, CudaError> {
        stream.alloc_zeros(count).map_err(|e| CudaError::of_allocation(e, count * size_of::<T>()))
    }
    let memory = zeros::<u64>(stream, bytes.div_ceil(8).max(1))?;
    let pointer = memory.device_ptr(stream).0;
    Ok(Buffer { memory, pointer })
}
