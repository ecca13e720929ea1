//! A run that is interrupted: state and weights become bytes, and a new optimizer goes on from them.

use crate::tuning::{Run, STEPS, Tuning};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use spectra_core::dense::DenseMatrix;
use spectra_core::optimizer::Snapshot;

/// What is kept of an interrupted run: the optimizer's state and the weights.
type Saved = (Snapshot<f32>, Vec<f32>, Vec<f32>);

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resumed {
    /// The run's name.
    pub preset: &'static str,
    /// How much was kept of it.
    pub bytes: usize,
    /// Over the bits of all weights at the end.
    pub checksum: u64,
}

impl fmt::Display for Resumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self { preset, bytes, checksum }, half) = (self, STEPS / 2);
        write!(f, "{preset:<8} resumed from {bytes} bytes of step {half}: at the end weights {checksum:016x}")
    }
}

/// Interrupts the run half-way.
///
/// # Errors
/// Those of the optimizer and of the format, as a text.
pub fn resume(run: &Run) -> Result<Resumed, String> {
    let bytes = first_half(run)?;
    let (snapshot, weights, bias): Saved = postcard::from_bytes(&bytes).map_err(|error| error.to_string())?;
    let kept = bytes.len();
    drop(bytes);
    let second_half = || {
        let mut tuning = Tuning::new(run)?;
        let (rows, cols) = (bias.len(), weights.len() / bias.len().max(1));
        tuning.layer.weights = DenseMatrix::from_vec(rows, cols, weights)?;
        tuning.layer.bias = DenseMatrix::from_vec(1, rows, bias)?;
        tuning.optimizer.load_snapshot(&snapshot)?;
        while tuning.optimizer.steps() < STEPS {
            tuning.step()?;
        }
        Ok(tuning.layer.checksum())
    };
    let checksum = second_half().map_err(|error: spectra_core::backend::Error| error.to_string())?;
    Ok(Resumed { preset: run.preset, bytes: kept, checksum })
}

fn first_half(run: &Run) -> Result<Vec<u8>, String> {
    let half = || {
        let mut tuning = Tuning::new(run)?;
        for _ in 0..STEPS / 2 {
            tuning.step()?;
        }
        let snapshot = tuning.optimizer.snapshot()?;
        Ok((snapshot, tuning.layer.weights.values().to_vec(), tuning.layer.bias.values().to_vec()))
    };
    let saved: Saved = half().map_err(|error: spectra_core::backend::Error| error.to_string())?;
    postcard::to_allocvec(&saved).map_err(|error| error.to_string())
}
