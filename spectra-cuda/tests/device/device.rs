//! The device under test.

use spectra_cuda::cudarc::driver::CudaStream;
use spectra_cuda::{CudaBackend, CudaElement, Precision};
use spectra_cuda_simulator::{Selection, Simulator, select};
use std::sync::{Arc, OnceLock};

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

/// A new backend.
pub(crate) fn backend<E: CudaElement>() -> Result<CudaBackend<E>, spectra_cuda::Error> {
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
