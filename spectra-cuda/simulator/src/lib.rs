//! A simulated CUDA device for tests on machines without a GPU.
//!
//! [`install`] puts stand-ins for the CUDA driver, NVRTC, cuBLAS and NCCL where `cudarc` finds them. A program that uses `cudarc` then
//! runs unchanged: its kernels are compiled by `g++` and executed on the CPU, and the [`Simulator`] keeps account of
//! allocations, launches, copies, waits of the host and of everything that would be an error on a device. The README says what
//! this checks and what it cannot.
//!
//! ```no_run
//! # use spectra_cuda_simulator::{Selection, select};
//! let Selection::Simulated(simulator) = select() else { return };
//! let _alone = simulator.exclusive(); // the accounts belong to the whole process
//! simulator.reset();
//! // ... use cudarc ...
//! simulator.check().unwrap();
//! assert_eq!(simulator.counters().launches, 0);
//! ```

mod accounts;
mod error;
mod functions;
mod libraries;
mod select;
mod simulator;

pub use accounts::{Counters, Violations};
pub use error::Error;
pub use select::{Selection, print_skip, select};
pub use simulator::{Loss, Simulator, ThreadOrder};

use std::sync::OnceLock;

/// Makes this process use the simulated device: builds the stand-in libraries with the C++ compiler (`$CXX`, or `g++`) unless a
/// former run has left them in the target folder, and loads them under the names that `cudarc` looks up.
///
/// Must come before the first use of `cudarc`, which keeps the libraries that it has found; later calls return the same
/// simulator. The libraries stay loaded until the process ends.
///
/// # Errors
///
/// The machine is not Linux on x86-64, there is no C++ compiler, the libraries cannot be built or loaded, or this process has
/// already loaded CUDA libraries.
pub fn install() -> Result<Simulator, Error> {
    static INSTALLED: OnceLock<Result<Simulator, Error>> = OnceLock::new();
    INSTALLED.get_or_init(|| libraries::install().map(Simulator::new)).clone()
}
