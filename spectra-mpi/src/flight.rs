//! MPI calls in flight, and the memory that they read and write.

use crate::library::check;
use mpi::ffi::{self, MPI_Comm, MPI_Request};
use mpi::traits::{AsRaw, Equivalence};
use spectra_core::distributed::Lost;
use std::ffi::c_int;
use std::ops::Range;
use std::time::{Duration, Instant};

/// MPI counts in `c_int`: longer messages are sent in pieces of this many elements.
const PIECE: usize = 1 << 30;

/// A rank of a communicator, and the tag of the messages of a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) communicator: MPI_Comm,
    pub(crate) rank: c_int,
    pub(crate) tag: c_int,
}

/// Calls that have begun, with what they send and where they receive.
///
/// It owns both: a call that is not over when this is dropped (the deadline was) may still read and write them, whenever MPI is
/// called again, and cannot be taken back, since cancelling needs the other side too. So they are leaked then.
#[derive(Debug)]
pub(crate) struct Flight<E> {
    out: Vec<E>,
    into: Vec<E>,
    requests: Vec<MPI_Request>,
}

impl<E> Flight<E> {
    pub(crate) fn new(out: Vec<E>, into: Vec<E>) -> Self {
        Self { out, into, requests: Vec::new() }
    }

    /// Waits until all is over, and returns what was sent and received.
    ///
    /// # Errors
    /// [`Lost::DEADLINE`], at `until`; what MPI says.
    pub(crate) fn land(mut self, until: Option<Instant>) -> Result<(Vec<E>, Vec<E>), Lost> {
        let begun = Instant::now();
        while let Some(request) = self.requests.last_mut() {
            let mut over = 0;
            // SAFETY: the request was given by MPI and is not over; the handle becomes null when it is, and is then removed.
            check(unsafe { ffi::MPI_Test(request, &mut over, ffi::RSMPI_STATUS_IGNORE) })?;
            if over != 0 {
                self.requests.pop();
                continue;
            }
            let now = Instant::now();
            if until.is_some_and(|until| now >= until) {
                return Err(Lost::DEADLINE);
            }
            rest(now - begun);
        }
        Ok((std::mem::take(&mut self.out), std::mem::take(&mut self.into)))
    }

    /// Notes a call that has begun, if it has.
    fn begun(&mut self, code: c_int, request: MPI_Request) -> Result<(), Lost> {
        check(code)?;
        self.requests.push(request);
        Ok(())
    }
}

/// Lets others have the core between two polls: more ranks than cores are usual in tests. At first without a pause, so that a short call is
/// short, then with one of an eighth of the time waited so far, at most a millisecond.
fn rest(waited: Duration) {
    if waited < Duration::from_micros(200) {
        std::thread::yield_now();
    } else {
        std::thread::sleep((waited / 8).min(Duration::from_millis(1)));
    }
}

fn pieces(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(PIECE).map(move |start| start..end.min(start + PIECE))
}

impl<E: Equivalence> Flight<E> {
    /// Begins to send a part of what goes out.
    pub(crate) fn send(&mut self, range: Range<usize>, to: Peer) -> Result<(), Lost> {
        for range in pieces(range) {
            let part = &self.out[range];
            // SAFETY: constant of MPI, set before main.
            let mut request = unsafe { ffi::RSMPI_REQUEST_NULL };
            // SAFETY: the part stays where it is, unchanged, until the request is over: it is on the heap, no method that changes it
            // is called before `land` or after it failed, and it is leaked if it is dropped earlier. The type is that of the entries.
            let code = unsafe {
                ffi::MPI_Isend(
                    part.as_ptr().cast(),
                    part.len() as c_int,
                    E::equivalent_datatype().as_raw(),
                    to.rank,
                    to.tag,
                    to.communicator,
                    &mut request,
                )
            };
            self.begun(code, request)?;
        }
        Ok(())
    }

    /// Begins to receive a part of what comes in; no two parts overlap.
    pub(crate) fn receive(&mut self, range: Range<usize>, from: Peer) -> Result<(), Lost> {
        for range in pieces(range) {
            let part = &mut self.into[range];
            // SAFETY: constant of MPI, set before main.
            let mut request = unsafe { ffi::RSMPI_REQUEST_NULL };
            // SAFETY: as in `send`; nobody reads or writes the part before the request is over.
            let code = unsafe {
                ffi::MPI_Irecv(
                    part.as_mut_ptr().cast(),
                    part.len() as c_int,
                    E::equivalent_datatype().as_raw(),
                    from.rank,
                    from.tag,
                    from.communicator,
                    &mut request,
                )
            };
            self.begun(code, request)?;
        }
        Ok(())
    }

    /// Begins to sum what goes out over all ranks, entry by entry, into what comes in, which is as long.
    pub(crate) fn sum(&mut self, communicator: MPI_Comm) -> Result<(), Lost> {
        for range in pieces(0..self.out.len()) {
            let (from, to) = (&self.out[range.clone()], &mut self.into[range]);
            // SAFETY: constant of MPI, set before main.
            let mut request = unsafe { ffi::RSMPI_REQUEST_NULL };
            // SAFETY: as in `send` and `receive`; both parts are of the same length by their range.
            let code = unsafe {
                ffi::MPI_Iallreduce(
                    from.as_ptr().cast(),
                    to.as_mut_ptr().cast(),
                    from.len() as c_int,
                    E::equivalent_datatype().as_raw(),
                    ffi::RSMPI_SUM,
                    communicator,
                    &mut request,
                )
            };
            self.begun(code, request)?;
        }
        Ok(())
    }
}

impl Flight<MPI_Comm> {
    /// A communicator of the same ranks whose messages are its own.
    pub(crate) fn duplicate(communicator: MPI_Comm) -> Result<Self, Lost> {
        // SAFETY: constants of MPI, set before main.
        let (null, mut request) = unsafe { (ffi::RSMPI_COMM_NULL, ffi::RSMPI_REQUEST_NULL) };
        let mut flight = Self::new(Vec::new(), vec![null]);
        // SAFETY: the handle is on the heap until the request is over, as in `receive`.
        let code = unsafe { ffi::MPI_Comm_idup(communicator, flight.into.as_mut_ptr(), &mut request) };
        flight.begun(code, request)?;
        Ok(flight)
    }
}

impl<E> Drop for Flight<E> {
    fn drop(&mut self) {
        if !self.requests.is_empty() {
            std::mem::forget((std::mem::take(&mut self.out), std::mem::take(&mut self.into)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PIECE, pieces};

    #[test]
    fn pieces_are_the_whole_in_order() {
        let all: Vec<_> = pieces(5..2 * PIECE + 7).collect();
        assert_eq!(all, [5..PIECE + 5, PIECE + 5..2 * PIECE + 5, 2 * PIECE + 5..2 * PIECE + 7]);
        assert_eq!(pieces(3..3).count(), 0);
    }
}
