//! Progress of a language model's training.

use crate::{Bar, Row};

/// The progress of one run.
pub struct Progress {
    bar: Bar,
    steps: usize,
    bytes_per_step: usize,
    first_step: usize,
    first_seconds: f64,
}

impl Progress {
    /// Begins to show a run that has `done` of `steps` steps and `seconds` of training behind it.
    pub fn start(name: &str, steps: usize, done: usize, seconds: f64, bytes_per_step: usize) -> Self {
        let bar = Bar::start(name, steps, done);
        Self { bar, steps, bytes_per_step, first_step: done, first_seconds: seconds }
    }

    /// Shows a step; without a terminal only those whose validation loss was measured.
    pub fn step(&self, row: &Row) {
        let steps = (row.step - self.first_step) as f64;
        let seconds = (row.seconds - self.first_seconds).max(1e-9);
        let left = seconds / steps * (self.steps - row.step) as f64;
        let validation =
            row.validation_loss.map(|loss| format!(", validation {loss:.4}")).unwrap_or_default();
        let message = format!(
            "loss {:.4}{validation}, {:.0} bytes/s, {} s left",
            row.training_loss,
            steps * self.bytes_per_step as f64 / seconds,
            left.ceil()
        );
        self.bar.show(row.step, &message, row.validation_loss.is_some());
    }

    /// Leaves the last state standing.
    pub fn finish(&self) {
        self.bar.finish();
    }
}
