//! What a run has measured so far: saved in every checkpoint, so that a resumed run reports on its whole length.

use serde::{Deserialize, Serialize};

use crate::{Spectrum, UpdateNorms, WeightNorms};

/// The measurements of one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Steps done, this one included.
    pub step: usize,
    /// Seconds of training so far, measuring and saving left out.
    pub seconds: f64,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// Loss on this step's batch before the step, in nats per byte.
    pub training_loss: f64,
    /// Norm of the gradient of all parameters, before clipping.
    pub gradient_norm: f64,
    /// Time the optimizer took for this step.
    pub optimizer_ms: f64,
    /// Loss on the validation batches after the step, in nats per byte, where it was measured.
    pub validation_loss: Option<f64>,
    /// Norms of this step's updates, where they were taken.
    pub updates: Option<UpdateNorms>,
    /// Norms of the weights after the step, taken with the validation loss.
    pub weights: Option<WeightNorms>,
}

/// All measurements of one optimizer's run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// A row for each step done.
    pub rows: Vec<Row>,
    /// Bytes of optimizer state.
    pub state_bytes: usize,
    /// Singular values of the watched matrix, once they have been taken.
    pub spectrum: Option<Spectrum>,
}

impl Record {
    /// Steps done.
    pub fn step(&self) -> usize {
        self.rows.len()
    }

    /// Seconds of training.
    pub fn seconds(&self) -> f64 {
        self.rows.last().map_or(0.0, |row| row.seconds)
    }

    /// Step, seconds and loss of every validation.
    pub fn validations(&self) -> impl Iterator<Item = (usize, f64, f64)> + '_ {
        self.rows.iter().filter_map(|row| Some((row.step, row.seconds, row.validation_loss?)))
    }

    /// The last validation loss.
    pub fn final_loss(&self) -> Option<f64> {
        self.validations().last().map(|(_, _, loss)| loss)
    }

    /// Step and seconds of the first validation that reached `loss`.
    pub fn reached(&self, loss: f64) -> Option<(usize, f64)> {
        self.validations().find(|(_, _, reached)| *reached <= loss).map(|(step, seconds, _)| (step, seconds))
    }

    /// The largest share of the spectral clip's bound that an update took; `None` where nothing bounds them.
    pub fn update_of_bound(&self) -> Option<f64> {
        self.rows.iter().filter_map(|row| row.updates?.of_bound).reduce(f64::max)
    }

    /// Median time of an optimizer step, in milliseconds.
    pub fn optimizer_ms(&self) -> f64 {
        let mut times: Vec<_> = self.rows.iter().map(|row| row.optimizer_ms).collect();
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or_default()
    }
}
