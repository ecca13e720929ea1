//! Groups of ranks, on devices and on the host, and what they compute with.

use crate::device::simulator;
use spectra_core::backend::{Backend, Element, Matrix, Result};
use spectra_core::dense::Dense;
use spectra_core::distributed::{Communicator, Threads};
use spectra_cuda::cudarc::driver::CudaContext;
use spectra_cuda::nccl::Nccl;
use spectra_cuda::{CudaBackend, CudaElement, Precision};
use std::any::Any;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub(crate) type Failure = Box<dyn std::error::Error>;

/// Long enough for a loaded machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
/// Simulated devices for the time of a test.
pub(crate) struct Gpus(usize);

impl Gpus {
    pub(crate) fn new() -> std::result::Result<Self, Failure> {
        if let Some(simulator) = simulator() {
            simulator.set_device_count(4);
            simulator.reset();
        }
        Ok(Self(usize::try_from(CudaContext::device_count()?)?))
    }

    /// Sizes of groups: as many ranks as GPUs, or two on one.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = usize> + use<> {
        let shared = std::env::var("NCCL_MULTI_RANK_GPU_ENABLE").is_ok_and(|value| value == "1");
        let most = self.0.max(if shared { 2 } else { 1 });
        (1..=4).filter(move |size| *size <= most)
    }

    /// One for each rank.
    pub(crate) fn backends<E: CudaElement>(&self, size: usize) -> Result<Vec<CudaBackend<E>>> {
        (0..size).map(|rank| backend(rank, rank % self.0)).collect()
    }

    /// What each rank makes of `run(rank, its backend, its group)`.
    pub(crate) fn on_ranks<E: CudaElement, R: Send>(
        &self,
        size: usize,
        deadline: Duration,
        run: impl Fn(usize, &CudaBackend<E>, Nccl<E>) -> R + Sync,
    ) -> std::result::Result<Vec<std::thread::Result<R>>, Failure> {
        let backends = self.backends(size)?;
        let groups = Nccl::group(&backends, deadline)?;
        Ok(side_by_side(backends.iter().zip(groups).collect(), |rank, (backend, group)| {
            run(rank, backend, group)
        }))
    }

    /// The same where no rank panics.
    pub(crate) fn all<E: CudaElement, R: Send>(
        &self,
        size: usize,
        run: impl Fn(usize, &CudaBackend<E>, Nccl<E>) -> Result<R> + Sync,
    ) -> std::result::Result<Vec<R>, Failure> {
        joined(self.on_ranks(size, DEADLINE, run)?)
    }
}

impl Drop for Gpus {
    fn drop(&mut self) {
        if let Some(simulator) = simulator() {
            simulator.set_device_count(1);
        }
    }
}

/// The backend of a rank, one for all tests.
fn backend<E: CudaElement>(rank: usize, gpu: usize) -> Result<CudaBackend<E>> {
    static BACKENDS: Mutex<Vec<(usize, Box<dyn Any + Send>)>> = Mutex::new(Vec::new());
    let mut backends = BACKENDS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = backends
        .iter()
        .filter(|(of, _)| *of == rank)
        .find_map(|(_, any)| any.downcast_ref::<CudaBackend<E>>());
    if let Some(backend) = known {
        return Ok(backend.clone());
    }
    let backend = CudaBackend::<E>::new(&spectra_cuda::open(gpu)?.default_stream(), Precision::F32)?;
    backends.push((rank, Box::new(backend.clone())));
    Ok(backend)
}

pub(crate) fn side_by_side<T: Send, R: Send>(
    ranks: Vec<T>,
    run: impl Fn(usize, T) -> R + Sync,
) -> Vec<std::thread::Result<R>> {
    std::thread::scope(|scope| {
        let run = &run;
        let start = |(rank, of)| scope.spawn(move || run(rank, of));
        let ranks: Vec<_> = ranks.into_iter().enumerate().map(start).collect();
        ranks.into_iter().map(|rank| rank.join()).collect()
    })
}

pub(crate) fn joined<R>(ranks: Vec<std::thread::Result<Result<R>>>) -> std::result::Result<Vec<R>, Failure> {
    ranks.into_iter().map(|rank| Ok(rank.map_err(|_| "a rank has panicked")??)).collect()
}

/// What threads on the host make of the same.
pub(crate) fn on_threads<E: CudaElement, R: Send>(
    size: usize,
    run: impl Fn(usize, &Dense<E>, Communicator<Threads>) -> Result<R> + Sync,
) -> std::result::Result<Vec<R>, Failure> {
    let run = |rank, threads| run(rank, &Dense::<E>::new(), Communicator::new(threads));
    joined(side_by_side(Threads::group(size, DEADLINE), run))
}

/// A number that is rounded when it is added to others; or a whole one, whose sums are exact in any order.
pub(crate) fn number(rank: usize, i: usize, whole: bool) -> f64 {
    let n = ((rank * 7919 + i * 104_729) % 10_007) as f64;
    if whole { n } else { n / 3.0 - 1500.0 }
}

pub(crate) fn upload<B: Backend>(
    backend: &B,
    (rows, cols): (usize, usize),
    of: impl Fn(usize) -> f64,
) -> Result<B::Matrix> {
    backend.upload(rows, cols, &(0..rows * cols).map(|i| B::Element::narrow(of(i))).collect::<Vec<_>>())
}

pub(crate) fn bits<M: Matrix>(matrix: &M) -> Result<Vec<u64>> {
    let mut values = vec![M::Element::narrow(0.0); matrix.shape().0 * matrix.shape().1];
    matrix.read(&mut values)?;
    Ok(values.into_iter().map(|x| x.widen().to_bits()).collect())
}

pub(crate) fn driver(error: spectra_cuda::cudarc::driver::DriverError) -> spectra_cuda::Error {
    spectra_cuda::Error::device("test", spectra_cuda::CudaError::from(error))
}
