//! A bar on stderr in a terminal, plain lines elsewhere.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How far a run has come.
pub struct Bar {
    name: String,
    steps: usize,
    bar: Option<ProgressBar>,
}

impl Bar {
    /// Begins to show a run that has `done` of `steps` steps behind it.
    pub fn start(name: &str, steps: usize, done: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{prefix:>16} {bar:30} {pos:>5}/{len} {msg}") {
                bar.set_style(style);
            }
            bar.with_prefix(name.to_string()).with_position(done as u64)
        });
        Self { name: name.into(), steps, bar }
    }

    /// Shows a step; without a terminal only if it is worth a line.
    pub fn show(&self, step: usize, message: &str, is_line: bool) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(step as u64);
                bar.set_message(message.to_owned());
            }
            None if is_line => eprintln!("{} step {step}/{}: {message}", self.name, self.steps),
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
