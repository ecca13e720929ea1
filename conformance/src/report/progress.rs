//! Progress on stderr: a bar in a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::suite::{Entry, Status};

/// Without a terminal, a line is printed this often.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// How far a run has come.
pub(super) struct Progress {
    total: usize,
    done: usize,
    failed: usize,
    name: String,
    start: Instant,
    last_line: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins to show a run of `total` checks.
    pub(super) fn start(total: usize) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{prefix:>16} {bar:30} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        let start = Instant::now();
        Self { total, done: 0, failed: 0, name: String::new(), start, last_line: start, bar }
    }

    /// The checks that follow are those of this backend.
    pub(super) fn begin(&mut self, name: &str) {
        self.name = name.to_owned();
        if let Some(bar) = &self.bar {
            bar.set_prefix(self.name.clone());
        }
    }

    /// A check is done.
    pub(super) fn advance(&mut self, entry: &Entry) {
        self.done += 1;
        self.failed += usize::from(matches!(entry.status, Status::Failed(_)));
        let line = line(self.done, self.total, self.failed, self.start.elapsed());
        match &self.bar {
            Some(bar) => {
                bar.set_position(self.done as u64);
                bar.set_message(line);
            }
            None if self.done == self.total || self.last_line.elapsed() >= BETWEEN_LINES => {
                eprintln!("{}: {line}", self.name);
                self.last_line = Instant::now();
            }
            None => {}
        }
    }

    /// Leaves the last state standing.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}

/// `12/136 checks, 4.0/s, 31 s left`, and how many failed, if any did.
fn line(done: usize, total: usize, failed: usize, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(1e-9);
    let left = (total - done) as f64 / rate;
    let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
    format!("{done}/{total} checks, {rate:.1}/s, {:.0} s left{failed}", left.ceil())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::line;

    #[test]
    fn a_line_has_rate_and_remaining_time() {
        assert_eq!(line(12, 136, 0, Duration::from_secs(3)), "12/136 checks, 4.0/s, 31 s left");
        assert_eq!(line(4, 4, 1, Duration::from_secs(2)), "4/4 checks, 2.0/s, 0 s left, 1 failed");
    }
}
