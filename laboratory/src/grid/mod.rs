//! An ablation: variants of optimizers, each at several learning rates with the same seeds.

mod list;
mod report;

use crate::report::{Section, Standing};
use crate::{Experiment, Results, Row, Trial};
use spectra_examples::Failure;

pub(crate) use list::GRIDS;
use report::Summary;

/// Of the runs.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;

/// What is varied on which task.
#[derive(Clone, Copy)]
pub struct Grid {
    name: &'static str,
    question: &'static str,
    null: &'static str,
    task: Task,
    variants: &'static [Variant],
    /// Factors of every variant's learning rate.
    rates: &'static [f64],
    /// What follows from the losses; the variants are in their order.
    judge: fn(&[Summary]) -> Standing,
}

/// What learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    /// The byte model of the comparison.
    Language,
    /// The perceptron on digits.
    Digits,
}

impl Task {
    fn name(self) -> &'static str {
        match self {
            Self::Language => "the byte model",
            Self::Digits => "digits",
        }
    }
}

/// A line of the table.
#[derive(Debug, Clone, Copy)]
struct Variant {
    label: &'static str,
    flags: &'static [&'static str],
    /// The learning rate at factor 1.
    lr: f64,
}

impl Grid {
    fn trial(&self, variant: &Variant, rate: f64, seed: u64) -> Trial {
        let (task, common): (_, &[&str]) = match self.task {
            Task::Language => ("train", crate::comparison::LANGUAGE_COMMON),
            Task::Digits => ("digits", &["--network=mlp"]),
        };
        let lr: f64 = format!("{:.3e}", variant.lr * rate).parse().unwrap_or(variant.lr * rate);
        let mut flags: Vec<_> = variant.flags.iter().chain(common).map(ToString::to_string).collect();
        flags.extend([format!("--lr={lr}"), format!("--seed={seed}")]);
        Trial::new("grid", variant.label, task, &flags)
    }

    /// The rows of a variant at a rate; none if one is missing.
    fn rows<'a>(&self, variant: &Variant, rate: f64, done: &'a Results) -> Option<Vec<&'a Row>> {
        SEEDS.map(|seed| done.of(&self.trial(variant, rate, seed).command)).collect()
    }
}

impl Experiment for Grid {
    fn name(&self) -> &'static str {
        self.name
    }

    fn question(&self) -> &'static str {
        self.question
    }

    fn trials(&self, _: &Results) -> Vec<Trial> {
        let rates = |variant| {
            self.rates.iter().flat_map(move |rate| SEEDS.map(move |seed| self.trial(variant, *rate, seed)))
        };
        self.variants.iter().flat_map(rates).collect()
    }

    fn report(&self, done: &Results) -> Result<Section, Failure> {
        report::section(self, done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_sound_and_its_own() {
        let text = || spectra_examples::Text { title: "t".into(), bytes: vec![b'a'; 10_000] };
        let none = Results::read(std::path::Path::new("/nonexistent/a.csv")).expect("no file");
        for grid in GRIDS {
            let trials = grid.trials(&none);
            let commands: std::collections::BTreeSet<_> = trials.iter().map(|trial| &trial.command).collect();
            assert_eq!(commands.len(), trials.len(), "{}", grid.name);
            for trial in trials.iter().filter(|trial| trial.command.starts_with("train")) {
                let arguments = trial.command.split(' ').skip(1).map(Into::into);
                let line = spectra_examples::CommandLine::read("lab train", arguments).expect("sound flags");
                let line = line.expect("no help");
                let choices = spectra_examples::optimizers::choose(&line).expect("sound settings");
                let settings = spectra_examples::Settings::new(&line, &choices[0], &text());
                assert!(settings.is_ok(), "{}: {:?}", trial.command, settings.err());
            }
        }
    }
}
