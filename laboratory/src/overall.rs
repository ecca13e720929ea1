//! Progress of an experiment on stderr: a bar in a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::Row;

/// The progress of one experiment.
pub(crate) struct Overall {
    name: String,
    begun: Instant,
    done_before: usize,
    bar: Option<ProgressBar>,
}

impl Overall {
    /// Begins to show an experiment of which `done` of `total` runs are there.
    pub(crate) fn start(name: &str, total: usize, done: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{prefix:>12} {bar:30} {pos}/{len} {wide_msg}") {
                bar.set_style(style);
            }
            bar.with_prefix(name.to_string()).with_position(done as u64)
        });
        if bar.is_none() {
            eprintln!("{name}: {done} of {total} runs are there");
        }
        Self { name: name.into(), begun: Instant::now(), done_before: done, bar }
    }

    /// Shows a run that has ended.
    pub(crate) fn step(&self, row: &Row, done: usize, total: usize) {
        let seconds = self.begun.elapsed().as_secs_f64() / (done - self.done_before).max(1) as f64;
        let loss = row.loss.map_or_else(|| "diverged".into(), |loss| format!("{loss:.4}"));
        let left = seconds * total.saturating_sub(done) as f64 / 60.0;
        let message = format!(
            "{} {} seed {}: {loss}; {:.1} runs a minute, {:.0} min left",
            row.contestant,
            row.phase,
            row.seed,
            60.0 / seconds,
            left.ceil()
        );
        match &self.bar {
            Some(bar) => {
                bar.set_length(total as u64);
                bar.set_position(done as u64);
                bar.set_message(message);
            }
            None => eprintln!("{} {done}/{total}: {message}", self.name),
        }
    }

    /// Leaves the last state standing.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}
