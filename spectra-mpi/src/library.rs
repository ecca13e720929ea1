//! MPI itself: begun once in a process, ended once.

use crate::flight::Flight;
use mpi::Threading;
use mpi::environment::Universe;
use mpi::ffi::{self, MPI_Comm};
use mpi::traits::Communicator as _;
use spectra_core::distributed::Lost;
use std::cell::Cell;
use std::ffi::c_int;
use std::fmt;
use std::time::Instant;

/// Why MPI could not be begun.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InitError {
    /// It was begun before in this process, which can be done once.
    AlreadyInitialized,
    /// This MPI allows no other threads beside the one that calls it, and the arithmetic needs them.
    ThreadLevel,
    /// The others did not come within the deadline, or MPI reports an error.
    Lost(Lost),
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyInitialized => f.write_str("MPI was initialised before in this process"),
            Self::ThreadLevel => f.write_str("this MPI does not support threads (MPI_THREAD_FUNNELED)"),
            Self::Lost(lost) => lost.fmt(f),
        }
    }
}

impl std::error::Error for InitError {}

/// What all groups of a process share. Ends MPI when the last is dropped.
pub(crate) struct Library {
    universe: Option<Universe>,
    /// All ranks. A communicator of our own, so that no message of the program's is taken for one of ours.
    pub(crate) world: MPI_Comm,
    /// A group was lost: ranks are gone, or wait for others.
    pub(crate) lost: Cell<bool>,
    /// The first tag that no group of this rank has.
    pub(crate) next_tag: Cell<c_int>,
}

impl Library {
    /// Begins MPI. Returns this rank and how many there are, too.
    pub(crate) fn init(until: Option<Instant>) -> Result<(Self, usize, usize), InitError> {
        let (universe, threading) =
            mpi::initialize_with_threading(Threading::Funneled).ok_or(InitError::AlreadyInitialized)?;
        if threading < Threading::Funneled {
            return Err(InitError::ThreadLevel);
        }
        let world = universe.world();
        let (rank, size) = (world.rank() as usize, world.size() as usize);
        // SAFETY: constants of MPI, set before main.
        let (all, null) = unsafe { (ffi::RSMPI_COMM_WORLD, ffi::RSMPI_COMM_NULL) };
        // Dropped on the way out, it does not wait for the others.
        let mut library =
            Self { universe: Some(universe), world: null, lost: Cell::new(true), next_tag: Cell::new(0) };
        let duplicate = || {
            let (_, handles) = Flight::duplicate(all)?.land(until)?;
            let own = handles.into_iter().next().unwrap_or(null);
            // SAFETY: a communicator of MPI's own making and a constant. Errors come as codes, which we look at.
            check(unsafe { ffi::MPI_Comm_set_errhandler(own, ffi::RSMPI_ERRORS_RETURN) })?;
            Ok(own)
        };
        library.world = duplicate().map_err(InitError::Lost)?;
        library.lost.set(false);
        Ok((library, rank, size))
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").field("lost", &self.lost).finish_non_exhaustive()
    }
}

impl Drop for Library {
    /// MPI_Finalize waits for all ranks. If one may be gone it is left out: mpirun then ends the others when this process does, with a code
    /// that is not 0.
    fn drop(&mut self) {
        if self.lost.get() {
            std::mem::forget(self.universe.take());
        } else {
            // SAFETY: our own communicator, on which nothing is in flight: no group was lost.
            unsafe { ffi::MPI_Comm_free(&mut self.world) };
        }
    }
}

/// What MPI says of a call.
pub(crate) fn check(code: c_int) -> Result<(), Lost> {
    if code == ffi::MPI_SUCCESS as c_int {
        return Ok(());
    }
    let mut text = [0_u8; ffi::MPI_MAX_ERROR_STRING as usize];
    let mut len = 0;
    // SAFETY: the buffer has the length that MPI asks for; any code may be given.
    unsafe { ffi::MPI_Error_string(code, text.as_mut_ptr().cast(), &mut len) };
    let text = String::from_utf8_lossy(&text[..text.len().min(len as usize)]);
    // Leaked, once in the life of a group: a reason is a static text, and which of MPI's errors it was must not be lost.
    Err(Lost { rank: None, reason: Box::leak(format!("met an error of MPI: {text}").into_boxed_str()) })
}

/// Ends all processes of the job at once.
pub(crate) fn abort(code: c_int) -> ! {
    if mpi::environment::is_initialized() && !mpi::environment::is_finalized() {
        // SAFETY: between the beginning and the end of MPI.
        unsafe { ffi::MPI_Abort(ffi::RSMPI_COMM_WORLD, code) };
    }
    std::process::exit(code)
}
