//! The fair comparison: each optimizer gets the same number of trials over the same points of its space, then its best settings
//! are run with seeds that the search has not seen.

mod report;

use crate::report::Section;
use crate::space::{GLOBAL, Knob, LOCAL, Space, Spread, Unit, global, local};
use crate::{Experiment, Results, Row, Trial};
use spectra_examples::Failure;

/// Of all runs in which settings are looked for.
const SEARCH_SEED: u64 = 100;
/// Of the runs that count.
pub(crate) const SEEDS: std::ops::RangeInclusive<u64> = 1..=8;

/// A task on which optimizers are compared.
#[derive(Debug, Clone, Copy)]
pub struct Comparison {
    name: &'static str,
    question: &'static str,
    /// The subcommand that makes a run.
    task: &'static str,
    /// What is the same for all runs.
    common: &'static [&'static str],
    contestants: &'static [Contestant],
}

/// An optimizer and where its settings are looked for.
#[derive(Debug, Clone, Copy)]
pub struct Contestant {
    /// What the tables call it.
    pub name: &'static str,
    preset: &'static str,
    /// What differs from the preset.
    flags: &'static [&'static str],
    space: Space,
}

const BETA2: Knob = Knob { flag: "--beta2=", range: (0.9, 0.999), spread: Spread::BelowOne, most: 1.0 };
const RATIO: Knob = Knob { flag: "--rank-ratio=", range: (0.015, 0.9), spread: Spread::Logarithm, most: 1.0 };
const CLIP: Knob =
    Knob { flag: "--clip=", range: (1.0, 16.0), spread: Spread::Logarithm, most: f64::INFINITY };
const MU: Knob = Knob {
    flag: "--set=spectral.direction.Momentum.mu=",
    range: (0.8, 0.98),
    spread: Spread::BelowOne,
    most: 1.0,
};
const SIGNUM: Knob = Knob {
    flag: "--set=spectral.direction.Signum.mu=",
    range: (0.8, 0.98),
    spread: Spread::BelowOne,
    most: 1.0,
};

const fn contestant(preset: &'static str, lr: f64, knob: Knob) -> Contestant {
    Contestant { name: preset, preset, flags: &[], space: Space { lr, elementwise_lr: 4e-3, knob } }
}

impl Contestant {
    const fn named(self, name: &'static str, flags: &'static [&'static str]) -> Self {
        Self { name, flags, ..self }
    }
}

/// What all runs of the byte model have.
pub(crate) const LANGUAGE_COMMON: &[&str] =
    &["--batch=8", "--steps=400", "--eval-every=400", "--validation-batches=64", "--checkpoint-every=100"];

/// Centres of the learning rates: what a sweep of train_lm at its default size came to, and authors' own where there was none.
/// Those that the papers' claims are about come first, so that a part of the experiment is worth something.
const LANGUAGE: &[Contestant] = &[
    contestant("adamw", 1e-3, BETA2),
    contestant("muon", 2e-2, MU),
    contestant("spectra", 3e-3, RATIO),
    contestant("spectra-adamw", 3e-3, CLIP),
    contestant("spectra-signum", 3e-3, CLIP),
    contestant("normuon", 2e-2, MU),
    contestant("soap", 3e-3, BETA2),
    contestant("signum", 1e-3, SIGNUM),
    contestant("dion", 1e-2, BETA2),
    contestant("d-muon", 3e-3, MU),
    contestant("spectra-ademamix", 2e-3, CLIP),
    contestant("ademamix", 1e-3, BETA2),
    contestant("mars", 3e-3, BETA2),
    // Of the ideas of the screens the one that was farthest ahead of plain tail shrink on digits.
    contestant("spectra", 1.5e-3, RATIO).named("spectra, tail 3", &["--set=spectral.map.TailShrink.tail=3"]),
];

impl Comparison {
    /// The byte model of `train_lm`, of four layers, at half its batch.
    pub const LANGUAGE: Self = Self {
        name: "language",
        question: "Which optimizer has the lowest loss on the byte model after 400 steps, each tuned by 20 trials?",
        task: "train",
        common: LANGUAGE_COMMON,
        contestants: LANGUAGE,
    };

    /// A perceptron of two hidden layers on handwritten digits, 30 epochs.
    pub const DIGITS: Self = Self {
        name: "digits",
        question: "Which optimizer has the lowest loss on a perceptron that classifies digits, after 30 epochs, each tuned by 20 trials?",
        task: "digits",
        common: &["--network=mlp"],
        contestants: LANGUAGE,
    };

    /// A small network of convolutions on the same.
    pub const CONVOLUTION: Self = Self {
        name: "convolution",
        question: "And on two convolutions, whose weights have four dimensions?",
        common: &["--network=conv"],
        ..Self::DIGITS
    };

    /// In the order in which they are run.
    pub fn contestants(&self) -> &'static [Contestant] {
        self.contestants
    }

    fn trial(&self, phase: &'static str, who: &Contestant, unit: Unit, seed: u64) -> Trial {
        let mut flags = vec![format!("--optimizer={}", who.preset), format!("--seed={seed}")];
        flags.extend(self.common.iter().chain(who.flags).map(ToString::to_string));
        flags.extend(who.space.flags(&who.space.at(unit)));
        Trial::new(phase, who.name, self.task, &flags)
    }

    /// The trials of one contestant that are known by now.
    fn of(&self, who: &Contestant, done: &Results) -> Vec<Trial> {
        let mut trials: Vec<_> =
            (0..GLOBAL).map(|index| self.trial("search", who, global(index), SEARCH_SEED)).collect();
        let Some((best, _)) = self.best(who, (0..GLOBAL).map(global), done) else { return trials };
        let near = || (0..LOCAL).map(|index| local(best, index));
        trials.extend(near().map(|unit| self.trial("search", who, unit, SEARCH_SEED)));
        let Some((best, _)) = self.best(who, (0..GLOBAL).map(global).chain(near()), done) else {
            return trials;
        };
        trials.extend(SEEDS.map(|seed| self.trial("seeds", who, best, seed)));
        trials
    }

    /// Of points that have all been run, the one of the lowest loss; none if one has not been run, or all have diverged.
    fn best(
        &self,
        who: &Contestant,
        points: impl Iterator<Item = Unit>,
        done: &Results,
    ) -> Option<(Unit, f64)> {
        let mut best: Option<(Unit, f64)> = None;
        for unit in points {
            let row: &Row = done.of(&self.trial("search", who, unit, SEARCH_SEED).command)?;
            if let Some(loss) = row.loss.filter(|loss| best.is_none_or(|(_, least)| *loss < least)) {
                best = Some((unit, loss));
            }
        }
        best
    }
}

impl Experiment for Comparison {
    fn name(&self) -> &'static str {
        self.name
    }

    fn question(&self) -> &'static str {
        self.question
    }

    fn trials(&self, done: &Results) -> Vec<Trial> {
        self.contestants.iter().flat_map(|who| self.of(who, done)).collect()
    }

    fn report(&self, done: &Results) -> Result<Section, Failure> {
        report::section(self, done)
    }

    fn total(&self, _: &Results) -> usize {
        self.contestants.len() * ((GLOBAL + LOCAL) as usize + SEEDS.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::tests::row;

    /// Runs everything with losses of this function.
    fn played(loss: impl Fn(&Trial) -> f64) -> (tempfile::TempDir, Results) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut results = Results::read(&folder.path().join("a.csv")).expect("no file yet");
        let experiment = Comparison { contestants: &LANGUAGE[..2], ..Comparison::LANGUAGE };
        loop {
            let trials = experiment.trials(&results);
            let Some(trial) = trials.into_iter().find(|trial| results.of(&trial.command).is_none()) else {
                assert_eq!(results.rows().len(), experiment.total(&results));
                return (folder, results);
            };
            let seed = if trial.phase == "search" { SEARCH_SEED } else { 1 };
            let command = trial.command.clone();
            let loss = loss(&trial);
            results.add(Row { command, ..row(&trial.contestant, trial.phase, seed, loss) }).expect("a row");
        }
    }

    fn rate(trial: &Trial) -> f64 {
        let flag = trial.command.split("--lr=").nth(1).expect("a rate");
        flag.split(' ').next().expect("a word").parse().expect("a number")
    }

    #[test]
    fn the_search_finds_the_best_rate_and_the_seeds_use_it() {
        // A valley at four times the centre of AdamW; beyond sixteen times the runs diverge.
        let loss = |trial: &Trial| {
            let off = (rate(trial) / 4e-3).log2().abs();
            if off > 4.0 { f64::INFINITY } else { off }
        };
        let (_folder, results) = played(loss);
        let of = |phase: &str| {
            results
                .rows()
                .iter()
                .filter(|row| row.contestant == "adamw" && row.phase == phase)
                .collect::<Vec<_>>()
        };
        let (search, seeds) = (of("search"), of("seeds"));
        assert_eq!((search.len(), seeds.len()), (20, 8));
        let best = search.iter().filter_map(|row| row.loss).fold(f64::INFINITY, f64::min);
        assert!(best < 0.2 && seeds.iter().all(|row| row.loss == Some(best)), "{best}");
    }

    #[test]
    fn commands_are_those_of_train_lm() {
        let results = Results::read(std::path::Path::new("/nonexistent/a.csv")).expect("no file");
        for trial in Comparison::LANGUAGE.trials(&results) {
            let arguments = trial.command.split(' ').skip(1).map(Into::into);
            let line = spectra_examples::CommandLine::read("lab train", arguments).expect("sound flags");
            let line = line.expect("no help");
            let choices = spectra_examples::optimizers::choose(&line).expect("sound settings");
            let text = spectra_examples::Text { title: "t".into(), bytes: vec![b'a'; 10_000] };
            assert!(
                spectra_examples::Settings::new(&line, &choices[0], &text).is_ok(),
                "{}: {:?}",
                trial.command,
                spectra_examples::Settings::new(&line, &choices[0], &text).err()
            );
        }
    }
}
