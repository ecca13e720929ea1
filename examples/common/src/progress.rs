//! Progress on stderr: a bar in a terminal, plain lines elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::Row;

/// The progress of one run.
pub struct Progress {
    name: String,
    steps: usize,
    bytes_per_step: usize,
    first_step: usize,
    first_seconds: f64,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins to show a run that has `done` of `steps` steps and `seconds` of training behind it.
    pub fn start(name: &str, steps: usize, done: usize, seconds: f64, bytes_per_step: usize) -> Self {
        let bar = console_is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{prefix:>16} {bar:30} {pos:>5}/{len} {msg}") {
                bar.set_style(style);
            }
            bar.with_prefix(name.to_string()).with_position(done as u64)
        });
        Self { name: name.into(), steps, bytes_per_step, first_step: done, first_seconds: seconds, bar }
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
        match &self.bar {
            Some(bar) => {
                bar.set_position(row.step as u64);
                bar.set_message(message);
            }
            None if row.validation_loss.is_some() => {
                eprintln!("{} step {}/{}: {message}", self.name, row.step, self.steps);
            }
            None => {}
        }
    }

    /// Leaves the last state standing.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}

fn console_is_terminal() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal()
}
