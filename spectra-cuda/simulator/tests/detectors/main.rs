//! Wrong programs: each is reported for what it is, and the next one runs.

mod accesses;
mod calls;
#[path = "../common/mod.rs"]
mod common;
mod threads;

use common::load;
use cudarc::driver::{DriverError, LaunchConfig, PushKernelArg, sys};
use spectra_cuda_simulator::Simulator;

pub(crate) fn config(grid: u32, block: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (grid, 1, 1), block_dim: (block, 1, 1), shared_mem_bytes: 0 }
}

/// The one violation, which must hold all of `words`.
pub(crate) fn assert_reported(simulator: &Simulator, words: &[&str]) {
    let violations = simulator.violations();
    assert_eq!(violations.len(), 1, "{violations:#?}");
    for word in words {
        assert!(violations[0].contains(word), "`{word}` is not in: {}", violations[0]);
    }
    simulator.check().expect_err("a violation");
}

/// Runs a kernel whose only argument is an array of `length` numbers. What the wait after it gives.
pub(crate) fn run(source: &str, length: usize, config: LaunchConfig) -> Result<Vec<f32>, DriverError> {
    let (stream, kernel) = load(source, "bad");
    let mut x = stream.clone_htod(&vec![1.0f32; length])?;
    // SAFETY: none; the tests are about what the simulator makes of it.
    unsafe { stream.launch_builder(&kernel).arg(&mut x).launch(config) }?;
    stream.synchronize()?;
    stream.clone_dtoh(&x)
}

pub(crate) const ILLEGAL: sys::CUresult = sys::CUresult::CUDA_ERROR_ILLEGAL_ADDRESS;
pub(crate) const FAILED: sys::CUresult = sys::CUresult::CUDA_ERROR_LAUNCH_FAILED;
