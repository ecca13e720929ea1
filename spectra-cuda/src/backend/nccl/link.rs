//! A communicator with a bound on every wait for the others.

use crate::checked::Watch;
use crate::error::CudaError;
use crate::raw::nccl::{Calls, Comm};
use cudarc::driver::CudaStream;
use cudarc::nccl::result::NcclError;
use spectra_core::distributed::Lost;
use std::ffi::c_int;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Until something has failed, a communicator; then why.
#[derive(Debug)]
pub(super) struct Link {
    comm: Mutex<Result<Comm, Lost>>,
    rank: usize,
    deadline: Duration,
}

/// Asks until the answer is yes. The deadline ends it, as an error does.
fn poll(deadline: Duration, mut is_over: impl FnMut() -> Result<bool, CudaError>) -> Result<(), CudaError> {
    /// Most launches are queued, and most messages there, before the thread is worth a sleep.
    const BUSY: usize = 200;
    const SLEEP: Duration = Duration::from_micros(20);
    let begin = Instant::now();
    let mut asked = 0;
    while !is_over()? {
        if begin.elapsed() >= deadline {
            return Err(CudaError::Lost(Lost::DEADLINE));
        }
        asked += 1;
        if asked < BUSY { std::thread::yield_now() } else { std::thread::sleep(SLEEP) }
    }
    Ok(())
}

impl Link {
    pub(super) fn new(
        stream: &Arc<CudaStream>,
        id: [u8; 128],
        (rank, size): (usize, usize),
        deadline: Duration,
    ) -> Result<Self, CudaError> {
        let int =
            |size: usize| c_int::try_from(size).map_err(|_| CudaError::TooLarge { what: "a group", size });
        let comm = Comm::start(stream, id, int(rank)?, int(size)?)?;
        poll(deadline, || comm.is_idle())?;
        Ok(Self { comm: Mutex::new(Ok(comm)), rank, deadline })
    }

    /// A poisoned lock guards nothing that a panic could have left half done.
    fn lock(&self) -> MutexGuard<'_, Result<Comm, Lost>> {
        self.comm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whatever fails ends the group here: it is aborted, so that the device goes on.
    fn with<R>(&self, f: impl FnOnce(&Comm) -> Result<R, CudaError>) -> Result<R, CudaError> {
        let mut comm = self.lock();
        let done = match &*comm {
            Ok(comm) => f(comm),
            Err(lost) => return Err(CudaError::Lost(*lost)),
        };
        let Err(error) = done else { return done };
        let (lost, error) = match error {
            CudaError::Lost(lost) => (lost, error),
            CudaError::Nccl { name, .. } => {
                let lost = self.lost(name);
                (lost, CudaError::Lost(lost))
            }
            _ => (self.met("met an error of CUDA"), error),
        };
        *comm = Err(lost);
        Err(error)
    }

    fn met(&self, reason: &'static str) -> Lost {
        Lost { rank: Some(self.rank), reason }
    }

    /// By NCCL's name of its error.
    fn lost(&self, name: &str) -> Lost {
        self.met(match name {
            "ncclRemoteError" => {
                let reason = "another rank has left, or the network has failed (ncclRemoteError)";
                return Lost { rank: None, reason };
            }
            "ncclUnhandledCudaError" => "met NCCL's error ncclUnhandledCudaError",
            "ncclSystemError" => "met NCCL's error ncclSystemError",
            "ncclInternalError" => "met NCCL's error ncclInternalError",
            "ncclInvalidArgument" => "met NCCL's error ncclInvalidArgument",
            "ncclInvalidUsage" => "met NCCL's error ncclInvalidUsage",
            _ => "met an error of NCCL",
        })
    }

    /// Queues what `calls` calls in one launch. The host waits for no device, but the first of its kind may wait for the others to
    /// connect.
    ///
    /// # Safety
    /// As [`Comm::group`].
    pub(super) unsafe fn launch(
        &self,
        calls: impl FnOnce(&Calls<'_>) -> Result<(), NcclError>,
    ) -> Result<(), CudaError> {
        self.with(|comm| {
            // SAFETY: the caller's promise.
            unsafe { comm.group(calls) }?;
            poll(self.deadline, || comm.is_idle())
        })
    }

    /// Waits until the stream has done all that is queued.
    pub(super) fn wait(&self) -> Result<(), CudaError> {
        self.with(|comm| poll(self.deadline, || comm.stream_is_idle()))
    }

    /// Why the group has ended, if it has.
    pub(super) fn check(&self) -> Result<(), CudaError> {
        self.with(|_| Ok(()))
    }

    /// Ends the group, unless it has ended before.
    pub(super) fn end(&self, lost: Lost) {
        let mut comm = self.lock();
        if comm.is_ok() {
            *comm = Err(lost);
        }
    }
}

impl Watch for Link {
    fn wait(&self) -> Result<(), CudaError> {
        // The abort has made the device go on.
        if self.lock().is_err() { Ok(()) } else { Link::wait(self) }
    }
}

impl Drop for Link {
    /// In good order if the others are there in time: what is queued is done, and nobody reads what this rank frees. A panic must not
    /// wait for them.
    fn drop(&mut self) {
        let comm = self.comm.get_mut().unwrap_or_else(PoisonError::into_inner);
        if std::thread::panicking() {
            return;
        }
        let comm = std::mem::replace(comm, Err(Lost::left(self.rank)));
        let Ok(comm) = comm else { return };
        let finalized = poll(self.deadline, || comm.stream_is_idle())
            .and_then(|()| comm.finalize())
            .and_then(|()| poll(self.deadline, || comm.is_idle()));
        if finalized.is_ok() {
            // There is nobody to tell if it fails, and nothing left to do.
            let _ = comm.destroy();
        }
    }
}
