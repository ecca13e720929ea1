//! Graphs, and a stream that is only ever captured: what is queued there becomes part of a graph, whatever others do with theirs.

use crate::error::CudaError;
use cudarc::driver::sys::{self, CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{CudaContext, CudaStream, result};
use std::sync::Arc;

/// The stream. cudarc does not know it: a second stream of its own would make it record events for every buffer.
#[derive(Debug)]
pub(crate) struct Side {
    stream: sys::CUstream,
    context: Arc<CudaContext>,
}

// SAFETY: a handle that any thread may use; who captures has the only reference.
unsafe impl Send for Side {}
// SAFETY: a shared reference only tells the handle.
unsafe impl Sync for Side {}

impl Side {
    pub(crate) fn new(context: &Arc<CudaContext>) -> Result<Self, CudaError> {
        context.bind_to_thread()?;
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)?;
        Ok(Self { stream, context: context.clone() })
    }

    pub(crate) fn handle(&self) -> sys::CUstream {
        self.stream
    }

    /// What `queue` queues on this stream, as a graph. Nothing of it is run.
    pub(crate) fn capture(
        &mut self,
        queue: impl FnOnce(sys::CUstream) -> Result<(), CudaError>,
    ) -> Result<Graph, CudaError> {
        self.context.bind_to_thread()?;
        // SAFETY: the stream is this one's, and idle.
        unsafe {
            result::stream::begin_capture(
                self.stream,
                CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL,
            )
        }?;
        let queued = queue(self.stream);
        // SAFETY: it is being captured.
        let graph = unsafe { result::stream::end_capture(self.stream) };
        let graph = match (queued, graph) {
            (Ok(()), graph) => graph?,
            (Err(error), Ok(graph)) if !graph.is_null() => {
                // SAFETY: the graph is nobody else's.
                self.context.record_err(unsafe { result::graph::destroy(graph) });
                return Err(error);
            }
            (Err(error), _) => return Err(error),
        };
        // SAFETY: the graph is valid, and not used again.
        unsafe {
            let instance = result::graph::instantiate(graph, CUgraphInstantiate_flags(0));
            self.context.record_err(result::graph::destroy(graph));
            Ok(Graph { instance: instance?, context: self.context.clone() })
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.context.record_err(self.context.bind_to_thread());
        // SAFETY: the handle is valid, and not used again.
        self.context.record_err(unsafe { result::stream::destroy(self.stream) });
    }
}

/// A graph that can be launched.
#[derive(Debug)]
pub(crate) struct Graph {
    instance: sys::CUgraphExec,
    context: Arc<CudaContext>,
}

// SAFETY: a handle that any thread may use, one at a time: who launches or drops it has the only reference.
unsafe impl Send for Graph {}
// SAFETY: nothing can be done with a shared reference.
unsafe impl Sync for Graph {}

impl Graph {
    /// Queues it.
    ///
    /// # Safety
    /// All memory that it was captured with must be live when it runs, and stay so.
    pub(crate) unsafe fn launch(&mut self, stream: &CudaStream) -> Result<(), CudaError> {
        self.context.bind_to_thread()?;
        // SAFETY: both are valid; the memory is the caller's promise.
        Ok(unsafe { result::graph::launch(self.instance, stream.cu_stream()) }?)
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        self.context.record_err(self.context.bind_to_thread());
        // SAFETY: the handle is valid, and not used again; the driver keeps what still runs.
        self.context.record_err(unsafe { result::graph::exec_destroy(self.instance) });
    }
}
