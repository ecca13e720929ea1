use crate::{Simulator, install};
use std::io::Write;

/// On what a test runs.
#[derive(Clone, Debug)]
pub enum Selection {
    /// `SPECTRA_CUDA=sim`, or unset where the machine has what the simulated device needs.
    Simulated(Simulator),
    /// `SPECTRA_CUDA=real`: the machine's own CUDA libraries; nothing has been installed.
    Real,
    /// Unset, and the machine lacks what the simulated device needs, for this reason, which has been printed.
    Skipped(String),
}

/// Chooses by the variable `SPECTRA_CUDA` and installs the simulated device where it is chosen.
///
/// # Panics
///
/// The variable has another value; or the simulated device cannot be installed, and either it was asked for or this is no
/// matter of a missing compiler. What is broken, or was asked for, must not be skipped.
pub fn select() -> Selection {
    let asked = match std::env::var("SPECTRA_CUDA").as_deref() {
        Ok("real") => return Selection::Real,
        Ok("sim") => true,
        Ok(other) => panic!("SPECTRA_CUDA={other}: must be `sim`, `real` or unset"),
        Err(_) => false,
    };
    match install() {
        Ok(simulator) => Selection::Simulated(simulator),
        Err(e) if e.is_missing() && !asked => {
            let reason = e.to_string();
            print_skip(&reason);
            Selection::Skipped(reason)
        }
        Err(e) => panic!("{e}"),
    }
}

/// Says that the running test is skipped, past the test runner's capture.
pub fn print_skip(reason: &str) {
    let thread = std::thread::current();
    let line = format!("\nSKIPPED {}: {reason}\n", thread.name().unwrap_or("test"));
    // Not eprintln!, which the runner captures. If it cannot be printed there is nobody to tell.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
