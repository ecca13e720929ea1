use crate::{Simulator, install};
use std::io::Write;

/// On what a test runs.
#[derive(Clone, Debug)]
pub enum Selection {
    /// `SPECTRA_CUDA=sim`, or unset where the simulated device can be installed.
    Simulated(Simulator),
    /// `SPECTRA_CUDA=real`: the machine's own CUDA libraries; nothing has been installed.
    Real,
    /// Unset, and there is no simulated device for this reason, which has been printed.
    Skipped(String),
}

/// Chooses by the variable `SPECTRA_CUDA` and installs the simulated device where it is chosen. A skip is printed past the test
/// runner's capture.
///
/// # Panics
///
/// `SPECTRA_CUDA=sim` and the simulated device cannot be installed, or the variable has another value: what was asked for must
/// not be skipped.
pub fn select() -> Selection {
    match std::env::var("SPECTRA_CUDA").as_deref() {
        Ok("real") => Selection::Real,
        Ok("sim") => Selection::Simulated(install().unwrap_or_else(|e| panic!("SPECTRA_CUDA=sim: {e}"))),
        Ok(other) => panic!("SPECTRA_CUDA={other}: must be `sim`, `real` or unset"),
        Err(_) => match install() {
            Ok(simulator) => Selection::Simulated(simulator),
            Err(e) => {
                let reason = e.to_string();
                let test = std::thread::current().name().unwrap_or("test").to_owned();
                // Not eprintln!, which the test runner captures. If it cannot be printed there is nobody to tell.
                let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
                Selection::Skipped(reason)
            }
        },
    }
}
