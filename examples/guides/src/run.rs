//! One run: its bar, and its curve.

use std::time::Instant;

use spectra_examples::pictures::Curve;
use spectra_examples::{Bar, Failure};

/// Without a terminal so many lines are printed of a run.
const LINES: usize = 5;

/// A run in progress.
pub struct Run {
    bar: Bar,
    name: String,
    begun: Instant,
    first: usize,
    steps: usize,
    points: Vec<(f64, f64)>,
}

impl Run {
    /// Begins to show a run of which `done` of `steps` steps are taken.
    pub fn begin(name: &str, steps: usize, done: usize) -> Self {
        let (bar, begun) = (Bar::start(name, steps, done), Instant::now());
        Self { bar, name: name.into(), begun, first: done, steps, points: Vec::new() }
    }

    /// Shows the loss of a step, counted from 1.
    ///
    /// # Errors
    /// [`Failure::Diverged`] for a loss that is no number.
    pub fn step(&mut self, step: usize, loss: f64) -> Result<(), Failure> {
        if !loss.is_finite() {
            return Err(Failure::diverged(format!(
                "{}: the loss of step {step} is {loss}: try a smaller lr",
                self.name
            )));
        }
        self.points.push((step as f64, loss));
        let each = self.begun.elapsed().as_secs_f64() / (step - self.first).max(1) as f64;
        let left = (each * self.steps.saturating_sub(step) as f64).ceil();
        let is_line = step.is_multiple_of(self.steps.div_ceil(LINES)) || step == self.steps;
        self.bar.show(step, &format!("loss {loss:.4}, {left} s left"), is_line);
        Ok(())
    }

    /// The loss of the last step.
    pub fn last(&self) -> f64 {
        self.points.last().map_or(f64::NAN, |point| point.1)
    }

    /// Seconds since it began.
    pub fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// Ends it; the curve.
    pub fn end(self) -> Curve {
        self.bar.finish();
        (self.name, self.points)
    }
}
