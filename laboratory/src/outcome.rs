//! What a run's process tells the one that started it: a line of JSON.

use serde::{Deserialize, Serialize};

/// The measurements of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Seed of weights and batches.
    pub seed: u64,
    /// Steps of the whole run.
    pub steps: usize,
    /// Peak learning rate of the hidden matrices.
    pub lr: f64,
    /// Peak learning rate of everything else.
    pub elementwise_lr: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Share of steps with rising learning rate.
    pub warmup: f64,
    /// Validation loss at the end; none if the run diverged.
    pub loss: Option<f64>,
    /// Share of the validation examples classified rightly, where the task is to classify.
    pub accuracy: Option<f64>,
    /// Step and validation loss wherever it was measured.
    pub curve: Vec<(usize, f64)>,
    /// Median time of the optimizer in a step.
    pub optimizer_ms: f64,
    /// Seconds of training.
    pub seconds: f64,
    /// Bytes of optimizer state.
    pub state_bytes: usize,
    /// Title, length and fingerprint of the data.
    pub data: String,
}
