//! Several GPUs by NCCL: the collectives of [`distributed`](crate::distributed) on device buffers, without a copy to the host.
//!
//! One process for each GPU:
//!
//! ```no_run
//! # fn send_to_all(_: [u8; 128]) {}
//! # fn receive() -> [u8; 128] { [0; 128] }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (rank, size, gpu) = (0, 2, 0);
//! use spectra_cuda::nccl::{Nccl, unique_id};
//! use spectra_cuda::{CudaBackend, Precision};
//! use std::time::Duration;
//!
//! // By any means: MPI's broadcast, a file, TCP, a variable that the launcher sets.
//! let id = if rank == 0 { unique_id()? } else { receive() };
//! if rank == 0 {
//!     send_to_all(id);
//! }
//! let stream = spectra_cuda::open(gpu)?.default_stream();
//! let backend = CudaBackend::<f32>::new(&stream, Precision::F32)?;
//! let group = Nccl::new(&backend, id, rank, size, Duration::from_secs(60))?;
//! # Ok(())
//! # }
//! ```
//!
//! Several GPUs in one process: [`Nccl::group`], each rank moved to a thread of its own.
//!
//! # Waits and lost ranks
//!
//! The host waits in [`words`](Collectives::words), and in [`reduce`](Collectives::reduce) and [`gather`](Collectives::gather) where they are given words;
//! everything else is queued on the backend's stream and returns. (The first call of a kind may wait for the other ranks, because NCCL
//! connects then.) A rank that does not come is therefore noticed where the host next waits for the device: in these calls, and
//! wherever a matrix or a number of this stream is read. That returns
//! [`ErrorKind::Lost`](spectra_core::backend::ErrorKind::Lost) when the wait has lasted as long as the deadline (which must leave time for whatever is queued
//! before, such as a backward pass), or at once when NCCL knows of an error. The communicator is aborted, so that the device goes
//! on; what it was to write is undefined, and every later call of the group fails. A wait of your own, such as
//! `stream.synchronize()`, has no such bound: read something through the backend, or call `words(&[0])`, before it.
//!
//! # Order of sums
//!
//! [`Reduction::Ordered`], the default, has the bits of [`Communicator`](crate::distributed::Communicator) over any transport: the summands are
//! exchanged and added in the order of the ranks. [`Reduction::Fast`] is NCCL's own sum: equal on all ranks, its bits depend on length,
//! topology and algorithm. For equal bits in each run set `NCCL_ALGO=Ring`, `NCCL_PROTO=Simple` and `NCCL_NVLS_ENABLE=0`.
//! Ordered sums send as many bytes as a ring, but all ranks to all: between machines, through whose network the ranks of one share their way,
//! Fast is the better choice for large gradients.
//!
//! # What has been tested
//!
//! All of this on simulated devices. **Unmeasured**: real GPUs, NVLink, networks.

mod link;
mod parts;
mod scratch;
mod sums;
mod words;

use super::{CudaElement, CudaMatrix, check_device};
use crate::checked::{Buffer, Device};
use crate::error::At;
#[cfg(doc)]
use crate::error::CudaError;
use crate::{CudaBackend, CudaScalar};
use link::Link;
use spectra_core::backend::{Error, ErrorKind, Matrix, Result};
use spectra_core::distributed::{
    Collectives, Division, Gather, Lost, Reduce, Reduction, Traffic, check_division,
};
use spectra_core::optimizer::Checksum;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// A new group's identity, for one rank to make and all to know: see the module.
///
/// # Errors
/// [`CudaError::Library`] without NCCL, and NCCL's.
pub fn unique_id() -> Result<[u8; 128]> {
    crate::raw::nccl::unique_id().at("unique_id")
}

/// One rank of a group of GPUs, on the stream of a [`CudaBackend`].
#[derive(Debug)]
pub struct Nccl<E> {
    device: Arc<Device>,
    link: Arc<Link>,
    rank: usize,
    size: usize,
    reduction: Reduction,
    traffic: Traffic,
    /// Of all calls so far: equal on all ranks, as long as they do the same.
    calls: Checksum,
    scratch: Option<Buffer>,
    element: PhantomData<E>,
}

impl<E: CudaElement> Nccl<E> {
    /// Rank `rank` of the `size` that share an [`unique_id`]. Waits until all have come. The host waits for others at most as long as
    /// the deadline, here and in every call.
    ///
    /// # Errors
    /// [`CudaError::Library`] without NCCL; a rank that there is not; NCCL's, such as `ncclInvalidUsage` for two ranks on one GPU;
    /// [`ErrorKind::Lost`](spectra_core::backend::ErrorKind::Lost).
    pub fn new(
        backend: &CudaBackend<E>,
        id: [u8; 128],
        rank: usize,
        size: usize,
        deadline: Duration,
    ) -> Result<Self> {
        const NAME: &str = "Nccl::new";
        if rank >= size {
            return Err(Error::argument(NAME, "rank", rank as f64, "less than the number of ranks"));
        }
        let device = backend.device.clone();
        let link = Arc::new(Link::new(device.stream(), id, (rank, size), deadline).at(NAME)?);
        device.watched_by(&link);
        let (reduction, traffic, calls) = (Reduction::default(), Traffic::default(), Checksum::new());
        Ok(Self { device, link, rank, size, reduction, traffic, calls, scratch: None, element: PhantomData })
    }

    /// A group of the GPUs of these backends, in their order, to be moved to one thread each: a rank waits for the others.
    ///
    /// NCCL may let the GPUs of a process access each other's buffers, which those of CUDA's memory pools, where cudarc takes them from,
    /// do not allow by themselves: set `NCCL_P2P_DIRECT_DISABLE=1`.
    ///
    /// # Errors
    /// As [`new`](Self::new); two backends of one GPU.
    pub fn group(backends: &[CudaBackend<E>], deadline: Duration) -> Result<Vec<Self>> {
        let (id, size) = (unique_id()?, backends.len());
        std::thread::scope(|scope| {
            let join = |(rank, backend)| scope.spawn(move || Self::new(backend, id, rank, size, deadline));
            let ranks: Vec<_> = backends.iter().enumerate().map(join).collect();
            ranks
                .into_iter()
                .map(|rank| rank.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }

    /// Sets the order of sums.
    #[must_use]
    pub fn reduction(self, reduction: Reduction) -> Self {
        Self { reduction, ..self }
    }

    /// Begins a call with operands of these shapes: an error if the group has ended, or a graph would repeat the call.
    fn begin(&mut self, operation: &'static str, shapes: impl Iterator<Item = (usize, usize)>) -> Result<()> {
        self.link.check().at(operation)?;
        self.device.refuse_capture("a collective").at(operation)?;
        self.calls.bytes(operation.as_bytes());
        for (rows, cols) in shapes {
            self.calls.word(rows as u64);
            self.calls.word(cols as u64);
        }
        self.traffic.calls += 1;
        Ok(())
    }

    fn check_matrix(&self, operation: &'static str, matrix: &CudaMatrix<E>) -> Result<()> {
        check_device(operation, &self.device, &matrix.device)
    }

    /// Whatever fails here would leave the others waiting: the group ends.
    fn or_end<R>(&self, done: Result<R>) -> Result<R> {
        if let Err(error) = &done {
            self.link.end(match error.kind() {
                ErrorKind::Lost(lost) => *lost,
                _ => Lost { rank: Some(self.rank), reason: "met an error in a collective" },
            });
        }
        done
    }

    /// Every other rank.
    fn others(&self) -> impl Iterator<Item = usize> + use<E> {
        let rank = self.rank;
        (0..self.size).filter(move |other| *other != rank)
    }
}

impl<E: CudaElement> Collectives<CudaBackend<E>> for Nccl<E> {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }

    fn sum(
        &mut self,
        _: &CudaBackend<E>,
        matrices: &mut [&mut CudaMatrix<E>],
        numbers: &mut [&mut CudaScalar],
    ) -> Result<()> {
        const NAME: &str = "sum";
        matrices.iter().try_for_each(|matrix| self.check_matrix(NAME, matrix))?;
        let shapes: Vec<_> =
            matrices.iter().map(|matrix| matrix.shape()).chain([(numbers.len(), 1)]).collect();
        self.begin(NAME, shapes.into_iter())?;
        if self.size == 1 {
            return Ok(());
        }
        let done = self.sum_all(matrices, numbers);
        self.or_end(done)
    }

    fn max(&mut self, _: &CudaBackend<E>, number: &CudaScalar) -> Result<CudaScalar> {
        self.begin("max", [(1, 1)].into_iter())?;
        self.traffic.rounds += 1;
        self.traffic.bytes += 8 * (self.size as u64 - 1);
        let done = self.largest(number);
        self.or_end(done)
    }

    fn words(&mut self, mine: &[u64]) -> Result<Vec<u64>> {
        const NAME: &str = "words";
        self.begin(NAME, [(mine.len(), 1)].into_iter())?;
        self.traffic.rounds += 1;
        self.traffic.bytes += (8 * mine.len() * (self.size - 1)) as u64;
        let done = self.exchange_words(NAME, mine);
        self.or_end(done)
    }

    fn reduce(
        &mut self,
        mine: &[u64],
        factor: f64,
        pieces: &mut [Reduce<'_, CudaBackend<E>>],
    ) -> Result<Vec<u64>> {
        const NAME: &str = "reduce";
        for piece in &*pieces {
            check_division(NAME, piece.whole, piece.part, piece.division, (self.rank, self.size))?;
            self.check_matrix(NAME, piece.whole)?;
            self.check_matrix(NAME, piece.part)?;
        }
        let shapes = pieces.iter().flat_map(|piece| shapes_of(piece.division)).chain([(mine.len(), 1)]);
        self.begin(NAME, shapes)?;
        let done = self.reduce_parts(mine, factor, pieces);
        self.or_end(done)
    }

    fn gather(
        &mut self,
        mine: &[u64],
        pieces: &mut [Gather<'_, CudaBackend<E>>],
        accept: &mut dyn FnMut(&[u64]) -> Result<()>,
    ) -> Result<()> {
        const NAME: &str = "gather";
        for piece in &*pieces {
            check_division(NAME, piece.whole, piece.part, piece.division, (self.rank, self.size))?;
            self.check_matrix(NAME, piece.whole)?;
            self.check_matrix(NAME, piece.part)?;
        }
        let shapes = pieces.iter().flat_map(|piece| shapes_of(piece.division)).chain([(mine.len(), 1)]);
        self.begin(NAME, shapes)?;
        if mine.is_empty() {
            accept(&[])?; // before it is written where it belongs
        }
        let gathered = self.gathered(mine, pieces);
        let (words, wholes) = self.or_end(gathered)?;
        if !mine.is_empty() {
            accept(&words)?;
        }
        let mut pairs = pieces.iter_mut().zip(&wholes);
        let done = pairs.try_for_each(|(piece, parts)| self.to_whole(*parts, piece.whole.region));
        self.or_end(done)
    }

    fn part(&mut self, whole: &CudaMatrix<E>, division: &Division, part: &mut CudaMatrix<E>) -> Result<()> {
        const NAME: &str = "part";
        check_division(NAME, whole, part, division, (self.rank, self.size))?;
        self.check_matrix(NAME, whole)?;
        self.check_matrix(NAME, part)?;
        self.copy(part.region, parts::view(whole.region, division, self.rank, E::BYTES))
    }
}

/// What tells divisions apart.
fn shapes_of(division: &Division) -> [(usize, usize); 2] {
    [division.shape(), (division.axis() as usize, division.owner().map_or(0, |owner| owner + 1))]
}
