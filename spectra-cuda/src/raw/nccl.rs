//! NCCL's communicators, asynchronous ones: a call returns at once and the communicator is asked how it stands. So nothing here waits, for
//! which there would be no bound.

use crate::error::CudaError;
use cudarc::driver::CudaStream;
use cudarc::driver::sys::{CUdeviceptr, CUresult, cuStreamQuery};
use cudarc::nccl::result::{self, NcclError, NcclStatus};
use cudarc::nccl::sys::{self, ncclDataType_t as DataType, ncclRedOp_t, ncclResult_t};
use std::ffi::{CStr, c_int, c_void};
use std::sync::Arc;

/// A rank of a communicator, bound to one stream. Aborted when dropped: [`finalize`](Self::finalize) it before, or what is queued is
/// lost.
#[derive(Debug)]
pub(crate) struct Comm {
    /// Null once it has been destroyed.
    handle: sys::ncclComm_t,
    stream: Arc<CudaStream>,
}

// SAFETY: a communicator may be used from any thread, by one at a time; a `Comm` is not `Sync`, and `Link` keeps it behind a mutex.
unsafe impl Send for Comm {}

/// Numbers in device memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) pointer: CUdeviceptr,
    pub(crate) count: usize,
    pub(crate) kind: DataType,
}

impl Message {
    fn from(&self) -> *const c_void {
        self.pointer as *const c_void
    }

    fn to(&self) -> *mut c_void {
        self.pointer as *mut c_void
    }
}

/// What the ranks of a communicator must share.
pub(crate) fn unique_id() -> Result<[u8; 128], CudaError> {
    super::libraries::check_nccl()?;
    let id = result::get_uniqueid().map_err(error)?;
    Ok(id.internal.map(|byte| byte as u8))
}

/// NCCL's name for what went wrong, and its own words if it has any.
fn error(error: NcclError) -> CudaError {
    // SAFETY: the communicator is not used by NCCL; it returns a C string, which it keeps.
    let last = unsafe {
        let text = sys::ncclGetLastError(std::ptr::null_mut());
        if text.is_null() { "".into() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
    };
    CudaError::Nccl { name: name(error.0), text: last.trim().to_owned() }
}

fn name(status: ncclResult_t) -> &'static str {
    match status {
        ncclResult_t::ncclUnhandledCudaError => "ncclUnhandledCudaError",
        ncclResult_t::ncclSystemError => "ncclSystemError",
        ncclResult_t::ncclInternalError => "ncclInternalError",
        ncclResult_t::ncclInvalidArgument => "ncclInvalidArgument",
        ncclResult_t::ncclInvalidUsage => "ncclInvalidUsage",
        ncclResult_t::ncclRemoteError => "ncclRemoteError",
        _ => "an unknown error",
    }
}

impl Comm {
    /// Begins to make a communicator; it [`is_idle`](Self::is_idle) when all ranks have come.
    pub(crate) fn start(
        stream: &Arc<CudaStream>,
        id: [u8; 128],
        rank: c_int,
        size: c_int,
    ) -> Result<Self, CudaError> {
        /// What NCCL is to choose.
        const OWN: c_int = c_int::MIN;
        super::libraries::check_nccl()?;
        stream.context().bind_to_thread()?;
        let mut config = sys::ncclConfig_t {
            size: size_of::<sys::ncclConfig_t>(),
            magic: 0xcafe_beef,
            version: 23000,
            blocking: 0,
            cgaClusterSize: OWN,
            minCTAs: OWN,
            maxCTAs: OWN,
            netName: std::ptr::null(),
            splitShare: OWN,
            trafficClass: OWN,
            commName: std::ptr::null(),
            collnetEnable: OWN,
            CTAPolicy: OWN,
            shrinkShare: OWN,
            nvlsCTAs: OWN,
            nChannelsPerNetPeer: OWN,
            nvlinkCentricSched: OWN,
            graphUsageMode: OWN,
            numRmaCtx: OWN,
            maxP2pPeers: OWN,
        };
        let id = sys::ncclUniqueId { internal: id.map(|byte| byte as _) };
        let mut comm = Self { handle: std::ptr::null_mut(), stream: stream.clone() };
        // SAFETY: both pointers are to locals of the types expected; the configuration is copied.
        unsafe { result::comm_init_rank_config(&mut comm.handle, size, id, rank, &mut config) }
            .map_err(error)?;
        Ok(comm)
    }

    /// Whether the last call is over. An error that the communicator has met, whichever call it was of.
    pub(crate) fn is_idle(&self) -> Result<bool, CudaError> {
        let mut status = ncclResult_t::ncclSuccess;
        // SAFETY: the handle is valid; the status is a local.
        let asked = unsafe { sys::ncclCommGetAsyncError(self.handle, &mut status) };
        asked
            .result()
            .and_then(|_| status.result())
            .map(|status| status == NcclStatus::Success)
            .map_err(error)
    }

    /// Whether the stream has done all that is queued. An error that the communicator has met.
    pub(crate) fn stream_is_idle(&self) -> Result<bool, CudaError> {
        self.stream.context().bind_to_thread()?;
        // SAFETY: the stream is kept alive.
        match unsafe { cuStreamQuery(self.stream.cu_stream()) } {
            CUresult::CUDA_ERROR_NOT_READY => self.is_idle().map(|_| false),
            status => Ok(status.result().map(|()| true)?),
        }
    }

    /// Begins to end it in good order; it [`is_idle`](Self::is_idle) when its work is done and [`destroy`](Self::destroy) may follow.
    pub(crate) fn finalize(&self) -> Result<(), CudaError> {
        self.stream.context().bind_to_thread()?;
        // SAFETY: the handle is valid.
        unsafe { result::comm_finalize(self.handle) }.map(drop).map_err(error)
    }

    pub(crate) fn destroy(mut self) -> Result<(), CudaError> {
        self.stream.context().bind_to_thread()?;
        let handle = std::mem::replace(&mut self.handle, std::ptr::null_mut());
        // SAFETY: the handle is valid, and not used again.
        unsafe { result::comm_destroy(handle) }.map(drop).map_err(error)
    }

    /// Queues all that `calls` calls in one launch. The communicator [`is_idle`](Self::is_idle) when that is queued.
    ///
    /// # Safety
    /// The messages must be live device memory of the stream's context when the launch runs.
    pub(crate) unsafe fn group(
        &self,
        calls: impl FnOnce(&Calls<'_>) -> Result<(), NcclError>,
    ) -> Result<(), CudaError> {
        self.stream.context().bind_to_thread()?;
        result::group_start().map_err(error)?;
        let called = calls(&Calls(self));
        let ended = result::group_end();
        called.and(ended.map(drop)).map_err(error)
    }
}

impl Drop for Comm {
    fn drop(&mut self) {
        if self.handle.is_null() {
            return;
        }
        let context = self.stream.context();
        context.record_err(context.bind_to_thread());
        // SAFETY: the handle is valid and not used again. There is nobody to tell if it fails, and nothing left to do.
        let _ = unsafe { result::comm_abort(self.handle) };
    }
}

/// The calls of a group.
#[derive(Debug)]
pub(crate) struct Calls<'a>(&'a Comm);

type Called = Result<(), NcclError>;

// SAFETY of all calls: the handle and the stream are valid, and `group`'s caller has promised the memory.
impl Calls<'_> {
    fn stream(&self) -> sys::cudaStream_t {
        self.0.stream.cu_stream().cast()
    }

    pub(crate) fn send(&self, message: Message, to: usize) -> Called {
        let Message { count, kind, .. } = message;
        // SAFETY: see above.
        unsafe { result::send(message.from(), count, kind, to as c_int, self.0.handle, self.stream()) }
            .map(drop)
    }

    pub(crate) fn receive(&self, message: Message, from: usize) -> Called {
        let Message { count, kind, .. } = message;
        // SAFETY: see above.
        unsafe { result::recv(message.to(), count, kind, from as c_int, self.0.handle, self.stream()) }
            .map(drop)
    }

    /// Rank r's message to place r of `all`, which has room for that of every rank.
    pub(crate) fn all_gather(&self, message: Message, all: CUdeviceptr) -> Called {
        let Message { count, kind, .. } = message;
        let all = all as *mut c_void;
        // SAFETY: see above.
        unsafe { result::all_gather(message.from(), all, count, kind, self.0.handle, self.stream()) }
            .map(drop)
    }

    /// `from` on rank `root` to `into` on all.
    pub(crate) fn broadcast(&self, from: CUdeviceptr, into: Message, root: usize) -> Called {
        let (Message { count, kind, .. }, root) = (into, root as c_int);
        let from = from as *const c_void;
        // SAFETY: see above.
        unsafe { result::broadcast(from, into.to(), count, kind, root, self.0.handle, self.stream()) }
            .map(drop)
    }

    /// The sum in place, on all ranks, in NCCL's order.
    pub(crate) fn sum(&self, message: Message) -> Called {
        let (Message { count, kind, .. }, op) = (message, ncclRedOp_t::ncclSum);
        let (from, to) = (message.from(), message.to());
        // SAFETY: see above.
        unsafe { result::all_reduce(from, to, count, kind, op, self.0.handle, self.stream()) }.map(drop)
    }

    /// The sum to `into` on rank `root`, in NCCL's order.
    pub(crate) fn reduce(&self, message: Message, into: CUdeviceptr, root: usize) -> Called {
        let (Message { count, kind, .. }, op, root) = (message, ncclRedOp_t::ncclSum, root as c_int);
        let into = into as *mut c_void;
        // SAFETY: see above.
        unsafe { result::reduce(message.from(), into, count, kind, op, root, self.0.handle, self.stream()) }
            .map(drop)
    }
}
