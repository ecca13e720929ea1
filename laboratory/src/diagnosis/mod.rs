//! The papers' figures on the decoder of `train_lm`: runs that are looked at, what the [instruments](crate::instruments) find there, and
//! which of the claims that bears out.

mod continuity;
mod gradients;
mod interventions;
mod model;
mod newton_schulz;
mod noises;
mod report;
mod runs;
mod second_moments;
mod table;
mod training;
mod updates;
mod variances;
mod weights;

pub use table::{Findings, Measured, Verdict};

use std::path::Path;

use spectra_examples::{Failure, Text};
use training::Place;

/// An experiment: what it asks and how.
pub struct Diagnosis {
    /// On the command line and of its file of results.
    pub name: &'static str,
    /// In a line.
    pub question: &'static str,
    made: fn(&Place<'_>) -> Result<Findings, Failure>,
}

/// All of them, those that need the least first.
pub const DIAGNOSES: &[Diagnosis] = &[
    Diagnosis {
        name: "gradient-spectra",
        question: "A1: have gradients a spike, and of how many directions?",
        made: gradients::a1,
    },
    Diagnosis {
        name: "second-moments",
        question: "A3: has the spike nearly all of V, and half of M?",
        made: second_moments::a3,
    },
    Diagnosis {
        name: "continuity",
        question: "A7: do the leading directions stay from step to step?",
        made: continuity::a7,
    },
    Diagnosis {
        name: "newton-schulz",
        question: "A6: does Newton-Schulz spoil the tail's directions?",
        made: newton_schulz::a6,
    },
    Diagnosis {
        name: "update-spectra",
        question: "B1: are updates spiked, and clipped ones bounded?",
        made: updates::b1,
    },
    Diagnosis {
        name: "relative-variance",
        question: "A5: is the tail noisier than the spike?",
        made: variances::a5,
    },
    Diagnosis {
        name: "noise-structure",
        question: "B2: has the noise of a sequence spikes of its own?",
        made: noises::b2,
    },
    Diagnosis {
        name: "interventions",
        question: "A2: is the spike frequency and order of tokens?",
        made: interventions::a2,
    },
    Diagnosis {
        name: "weight-norms",
        question: "B5: do clipped updates keep weights small?",
        made: weights::b5,
    },
];

impl Diagnosis {
    /// The one of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<&'static Self, Failure> {
        DIAGNOSES.iter().find(|diagnosis| diagnosis.name == name).ok_or_else(|| {
            let names: Vec<_> = DIAGNOSES.iter().map(|diagnosis| diagnosis.name).collect();
            Failure::input(format!("there is no diagnosis named {name}; there are {}", names.join(", ")))
        })
    }

    /// Makes the runs that `folder` has not, measures, and writes `<results>/<name>.csv` and `<name>-verdicts.csv`.
    ///
    /// # Errors
    /// Those of the disk and of the runs.
    pub fn make(&self, folder: &Path, results: &Path) -> Result<Findings, Failure> {
        let text = Text::king_james()?;
        let findings = (self.made)(&Place { folder, text: &text })?;
        table::write_csv(&results.join(format!("{}.csv", self.name)), &findings.rows)?;
        table::write_csv(&results.join(format!("{}-verdicts.csv", self.name)), &findings.verdicts)?;
        Ok(findings)
    }
}
