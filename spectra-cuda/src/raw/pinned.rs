//! Page-locked host memory that copies are made from: the driver reads it when the stream comes to the copy.

use crate::error::CudaError;
use cudarc::driver::sys::CUdeviceptr;
use cudarc::driver::{CudaContext, CudaEvent, CudaStream, result};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Pinned {
    memory: *mut u64,
    len: usize,
    /// After the last copy.
    copied: CudaEvent,
    context: Arc<CudaContext>,
}

// SAFETY: memory that it alone has.
unsafe impl Send for Pinned {}
// SAFETY: a shared reference reads its length and asks the event.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// Room for `len` words, more than none.
    pub(crate) fn new(context: &Arc<CudaContext>, len: usize) -> Result<Self, CudaError> {
        let copied = context.new_event(None)?;
        // SAFETY: more than no bytes.
        let memory = unsafe { result::malloc_host(8 * len.max(1), 0) }?.cast();
        Ok(Self { memory, len, copied, context: context.clone() })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether the last copy is over. One of which the device does not tell is not.
    pub(crate) fn is_free(&self) -> bool {
        self.copied.is_complete()
    }

    /// Queues a copy of these words, of which there are no more than it has room for, when it [is free](Self::is_free).
    ///
    /// # Safety
    /// `to` must have room for them.
    pub(crate) unsafe fn send(
        &mut self,
        words: &[u64],
        to: CUdeviceptr,
        stream: &CudaStream,
    ) -> Result<(), CudaError> {
        let count = words.len().min(self.len);
        self.context.bind_to_thread()?;
        // SAFETY: the memory is this one's, holds as many, and no copy reads it any more.
        let staged = unsafe {
            self.memory.copy_from_nonoverlapping(words.as_ptr(), count);
            std::slice::from_raw_parts(self.memory, count)
        };
        // SAFETY: the caller's promise; the memory stays until the event has come to pass.
        unsafe { result::memcpy_htod_async(to, staged, stream.cu_stream()) }?;
        Ok(self.copied.record(stream)?)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.context.record_err(self.context.bind_to_thread());
        self.context.record_err(self.copied.synchronize());
        // SAFETY: the memory came from `malloc_host`, and the last copy is over.
        self.context.record_err(unsafe { result::free_host(self.memory.cast()) });
    }
}
