//! The device under test.

use spectra_cuda::cudarc::driver::CudaStream;
use spectra_cuda::{CudaBackend, CudaElement, Precision};
use spectra_cuda_simulator::{Selection, Simulator, select};
use std::any::Any;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What a test returns.
pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The one stream of all tests: the device's default one.
pub(crate) fn stream() -> Result<Arc<CudaStream>, spectra_cuda::Error> {
    static STREAM: OnceLock<Arc<CudaStream>> = OnceLock::new();
    if let Some(stream) = STREAM.get() {
        return Ok(stream.clone());
    }
    let stream = spectra_cuda::open(0)?.default_stream();
    Ok(STREAM.get_or_init(|| stream).clone())
}

/// The backend of an element type, one for all tests: to load its kernels takes a driver half a second.
pub(crate) fn backend<E: CudaElement>() -> Result<CudaBackend<E>, spectra_cuda::Error> {
    static BACKENDS: Mutex<Vec<Box<dyn Any + Send>>> = Mutex::new(Vec::new());
    let mut backends = BACKENDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(backend) = backends.iter().find_map(|backend| backend.downcast_ref::<CudaBackend<E>>()) {
        return Ok(backend.clone());
    }
    let backend = new_backend::<E>()?;
    backends.push(Box::new(backend.clone()));
    Ok(backend)
}

/// Another one.
pub(crate) fn new_backend<E: CudaElement>() -> Result<CudaBackend<E>, spectra_cuda::Error> {
    CudaBackend::new(&stream()?, Precision::F32)
}

/// The simulated device's accounts, if that is what the tests run on.
pub(crate) fn simulator() -> Option<Simulator> {
    if let Selection::Simulated(simulator) = select() { Some(simulator) } else { None }
}

/// An error if the simulated device has seen anything that would be an error on a real one. Forgets it.
pub(crate) fn check_violations() -> Outcome {
    let Some(simulator) = simulator() else { return Ok(()) };
    let found = simulator.check();
    simulator.reset();
    Ok(found?)
}
