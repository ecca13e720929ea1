//! Device memory: buffers, single numbers, and what kernels use as working memory.

use super::tally::Counters;
use super::{Device, script};
use crate::error::CudaError;
use crate::raw::Place;
use cudarc::driver::sys::{CUdeviceptr, CUstreamCaptureStatus};
use cudarc::driver::{CudaSlice, DevicePtr, DeviceRepr};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Zeroed device memory, freed in the stream's order.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// Until it is dropped.
    memory: Option<CudaSlice<u64>>,
    pointer: CUdeviceptr,
}

impl Buffer {
    pub(crate) fn pointer(&self) -> CUdeviceptr {
        self.pointer
    }

    /// Whether it holds `bytes`.
    pub(crate) fn holds(&self, bytes: usize) -> bool {
        self.memory.as_ref().is_some_and(|memory| memory.num_bytes() >= bytes)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(memory) = self.memory.take() else { return };
        let Some(mut kept) = script::keep(Self { memory: Some(memory), pointer: self.pointer }) else {
            return;
        };
        let Some(memory) = kept.memory.take() else { return };
        // cudarc frees in whatever context is current, which for the default stream may be another device's.
        let context = memory.context();
        // An error that is kept for the next call must neither prevent that nor get lost.
        let kept_error = context.check_err();
        context.record_err(context.bind_to_thread());
        context.record_err(kept_error);
    }
}

/// Numbers that are handed out one by one, or as many at a time as a stack has parts.
#[derive(Debug, Default)]
pub(super) struct Slots {
    chunks: Vec<Buffer>,
    /// By how many they are together.
    free: BTreeMap<usize, Vec<CUdeviceptr>>,
    /// Those that graphs write whenever they are replayed: for what is captured only.
    of_graphs: BTreeMap<usize, Vec<CUdeviceptr>>,
}

impl Slots {
    /// A chunk of [`CHUNK`] numbers, for `count` at a time.
    pub(super) fn add(&mut self, chunk: Buffer, count: usize) {
        let (first, step) = (chunk.pointer(), 8 * count as u64);
        let places = (0..(CHUNK / count) as u64).map(|i| first + step * i);
        self.free.entry(count).or_default().extend(places);
        self.chunks.push(chunk);
    }
}

/// Bytes of pageable memory that the driver takes to a place of its own without waiting for the stream.
const STAGED: usize = 65536;

/// Numbers of a chunk, no fewer than a stack has parts: a step of a large model holds one or two for each parameter.
pub(super) const CHUNK: usize = 1024;

/// One `f64` on the device, or one for each part of a stack. Given back when dropped: work that is queued before reads it before whoever gets it next
/// writes it, on the same stream.
#[derive(Debug)]
pub(crate) struct Slot {
    device: Arc<Device>,
    place: CUdeviceptr,
    count: usize,
    in_graph: bool,
}

impl Slot {
    pub(crate) fn place(&self) -> CUdeviceptr {
        self.place
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut slots = lock(&self.device.slots);
        let free = if self.in_graph { &mut slots.of_graphs } else { &mut slots.free };
        free.entry(self.count).or_default().push(self.place);
    }
}

/// Where the parts of a stack lie, on the device and here.
#[derive(Debug)]
pub(crate) struct Table {
    buffer: Buffer,
    pub(crate) pointers: Vec<CUdeviceptr>,
    /// Whether a graph reads it whenever it is replayed.
    in_graph: bool,
}

impl Table {
    pub(crate) fn place(&self) -> CUdeviceptr {
        self.buffer.pointer()
    }
}

/// Working memory of the launch that is being queued.
#[derive(Debug, Default)]
pub(super) struct Working {
    buffer: Option<Buffer>,
    /// Whether a graph uses it whenever it is replayed.
    in_graph: bool,
    /// Such buffers that have become too small, and tables that others took the place of.
    of_graphs: Vec<Buffer>,
}

/// A poisoned lock guards nothing that a panic could have left half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    #[cfg(test)]
    super::interleave::wait_until(|| !matches!(mutex.try_lock(), Err(std::sync::TryLockError::WouldBlock)));
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Device {
    /// `count` zeros of type `T`.
    pub(crate) fn allocate<T>(&self, count: usize) -> Result<Buffer, CudaError> {
        let too_large = CudaError::TooLarge { what: "a buffer", size: count };
        let bytes = count.checked_mul(size_of::<T>()).ok_or(too_large)?;
        self.refuse_capture("allocating memory")?;
        Counters::add(&self.counters.allocations, 1);
        script::allocated(self);
        zeroed(&self.stream, bytes)
    }

    /// Whether what is queued now becomes part of a graph instead of being run, or may.
    fn is_repeated(&self) -> Result<bool, CudaError> {
        Ok(script::is_recorded(self) || self.is_captured()?)
    }

    fn is_captured(&self) -> Result<bool, CudaError> {
        Ok(self.stream.capture_status()? != CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE)
    }

    /// An error if `what` would become part of a graph.
    pub(crate) fn refuse_capture(&self, what: &'static str) -> Result<(), CudaError> {
        if self.is_captured()? { Err(CudaError::Captured { what }) } else { Ok(()) }
    }

    /// Numbers are taken in the order of their places from now on.
    pub(super) fn arrange_slots(&self) {
        let mut slots = lock(&self.slots);
        slots.of_graphs.values_mut().for_each(|free| free.sort_unstable_by(|a, b| b.cmp(a)));
    }

    /// A free slot for `count` numbers, with old values in it.
    pub(crate) fn slot(self: &Arc<Self>, count: usize) -> Result<Slot, CudaError> {
        let in_graph = self.is_repeated()?;
        let mut slots = lock(&self.slots);
        let known = if in_graph { slots.of_graphs.entry(count).or_default().pop() } else { None };
        if known.is_none() && slots.free.entry(count).or_default().is_empty() {
            slots.add(self.allocate::<f64>(CHUNK)?, count);
        }
        let free = slots.free.entry(count).or_default();
        let place = known.or_else(|| free.pop()).unwrap_or_default();
        Ok(Slot { device: self.clone(), place, count, in_graph })
    }

    /// The table of these places, in the place of `last` if that holds as many and no graph reads it whenever it is replayed.
    /// Nothing is copied if it is the same.
    pub(crate) fn table(&self, pointers: Vec<CUdeviceptr>, last: Option<Table>) -> Result<Table, CudaError> {
        let in_graph = self.is_captured()?;
        match last {
            Some(last) if last.pointers == pointers => {
                return Ok(Table { in_graph: in_graph || last.in_graph, ..last });
            }
            Some(mut last) if last.pointers.len() == pointers.len() && !last.in_graph => {
                // SAFETY: the table has room for as many. What was queued before reads the old ones, in the stream's order; what is
                // recorded comes later.
                unsafe {
                    match script::uses(self, last.buffer.pointer()) {
                        true => self.upload(last.buffer.pointer(), pointers.clone()),
                        false => self.upload_now(last.buffer.pointer(), pointers.clone()),
                    }
                }?;
                last.pointers = pointers;
                return Ok(Table { in_graph, ..last });
            }
            Some(last) if last.in_graph => lock(&self.working).of_graphs.push(last.buffer),
            _ => {}
        }
        let buffer = self.allocate::<CUdeviceptr>(pointers.len())?;
        // SAFETY: it has just been made for them.
        unsafe { self.upload(buffer.pointer(), pointers.clone()) }?;
        Ok(Table { buffer, pointers, in_graph })
    }

    /// Calls `queue` with working memory for at least `count` doubles, which nobody else gets before it returns; what it has
    /// queued is then ordered before whatever comes next. Grows on the first steps only.
    pub(super) fn with_working<R>(
        &self,
        count: usize,
        queue: impl FnOnce(Place<'_>) -> Result<R, CudaError>,
    ) -> Result<R, CudaError> {
        let mut working = lock(&self.working);
        if !working.buffer.as_ref().is_some_and(|buffer| buffer.holds(8 * count)) {
            let small = working.buffer.replace(self.allocate::<f64>(count)?);
            if std::mem::take(&mut working.in_graph) {
                working.of_graphs.extend(small);
            }
        }
        working.in_graph |= self.is_repeated()?;
        let pointer = working.buffer.as_ref().map_or(0, Buffer::pointer);
        queue(Place::new(pointer))
    }

    /// As if no call had needed working memory yet.
    #[cfg(test)]
    pub(crate) fn forget_working(&self) {
        *lock(&self.working) = Working::default();
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
        // SAFETY: the caller's promise; what is copied are numbers and pointers.
        if unsafe { script::upload(self, pointer, &values) } {
            return Ok(());
        }
        // SAFETY: the caller's promise.
        unsafe { self.upload_now(pointer, values) }
    }

    /// The same, before anything that is being recorded.
    ///
    /// # Safety
    /// As there.
    unsafe fn upload_now<T: DeviceRepr>(
        &self,
        pointer: CUdeviceptr,
        values: Vec<T>,
    ) -> Result<(), CudaError> {
        // A graph would read the vector again whenever it is replayed.
        self.refuse_capture("copying from the host")?;
        if size_of_val(&*values) > STAGED {
            self.wait_watched()?;
        }
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
        if script::is_recorded(self) {
            return Err(CudaError::Captured { what: "copying to the host" });
        }
        self.refuse_capture("copying to the host")?;
        // The driver waits for the stream before it copies to pageable memory, whoever may never come.
        self.wait_watched()?;
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
    // No address space holds more, and cudarc computes with the bytes unchecked.
    if isize::try_from(bytes).is_err() {
        return Err(CudaError::TooLarge { what: "a buffer in bytes", size: bytes });
    }
    let words = bytes.div_ceil(8).max(1);
    let memory = stream.alloc_zeros::<u64>(words).map_err(|e| CudaError::of_allocation(e, 8 * words))?;
    let pointer = memory.device_ptr(stream).0;
    Ok(Buffer { memory: Some(memory), pointer })
}
