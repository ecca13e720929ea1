//! What was measured, and what follows from it.

use std::cmp::Ordering;
use std::path::Path;

use serde::Serialize;
use spectra_examples::{Failure, write_whole};

/// One measured value.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Of LAB.md's list: `A1`, ...
    pub experiment: &'static str,
    /// Steps taken before.
    pub stage: usize,
    /// Name of the matrix, or what the value is of.
    pub matrix: String,
    /// What was measured.
    pub quantity: String,
    /// What it came to.
    pub value: f64,
    /// The same of noise.
    pub null: Option<f64>,
    /// Optimizer, k, batch and the like.
    pub settings: String,
}

/// What a claim came to.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// As [`Measured::experiment`].
    pub experiment: &'static str,
    /// What the paper says.
    pub claim: &'static str,
    /// When it counts as shown.
    pub criterion: &'static str,
    /// The number that is compared.
    pub value: f64,
    /// With what.
    pub threshold: f64,
    /// The same of noise, if it has one.
    pub null: Option<f64>,
    /// `shown`, `refuted at our size`, `not decidable here`.
    pub verdict: &'static str,
}

/// The words of [`Verdict::verdict`].
pub(super) const SHOWN: &str = "shown";
pub(super) const REFUTED: &str = "refuted at our size";
pub(super) const UNDECIDED: &str = "not decidable here";

/// Shown if the value reaches the threshold, refuted if not; a value that is no number decides nothing.
pub(super) fn at_least(value: f64, threshold: f64) -> &'static str {
    match value.partial_cmp(&threshold) {
        Some(Ordering::Less) => REFUTED,
        Some(Ordering::Equal | Ordering::Greater) => SHOWN,
        None => UNDECIDED,
    }
}

/// Everything of one experiment.
#[derive(Debug, Default)]
pub struct Findings {
    /// In the order in which they were measured.
    pub rows: Vec<Measured>,
    /// One each claim.
    pub verdicts: Vec<Verdict>,
}

impl Findings {
    pub(super) fn add(
        &mut self,
        (experiment, stage, matrix): (&'static str, usize, &str),
        quantity: impl Into<String>,
        (value, null): (f64, Option<f64>),
        settings: impl Into<String>,
    ) {
        let (matrix, quantity, settings) = (matrix.into(), quantity.into(), settings.into());
        self.rows.push(Measured { experiment, stage, matrix, quantity, value, null, settings });
    }

    /// The values of a quantity, in the order in which they were measured.
    pub(super) fn values(&self, quantity: &str, settings: &str) -> Vec<f64> {
        self.rows
            .iter()
            .filter(|row| row.quantity == quantity && row.settings == settings)
            .map(|row| row.value)
            .collect()
    }

    /// Those of noise.
    pub(super) fn nulls(&self, quantity: &str, settings: &str) -> Vec<f64> {
        let chosen = |row: &&Measured| row.quantity == quantity && row.settings == settings;
        self.rows.iter().filter(chosen).filter_map(|row| row.null).collect()
    }
}

/// The share of a list for which something holds; 0 of an empty one.
pub(super) fn share(holds: impl Iterator<Item = bool>) -> f64 {
    let (mut yes, mut all) = (0usize, 0usize);
    for one in holds {
        (yes, all) = (yes + usize::from(one), all + 1);
    }
    yes as f64 / all.max(1) as f64
}

/// Writes a table with a line of titles.
pub(super) fn write_csv<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(Failure::run)?;
    }
    let bytes = writer.into_inner().map_err(Failure::run)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Failure::run)?;
    }
    write_whole(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_verdicts() {
        assert_eq!(share([true, false, true, true].into_iter()), 0.75);
        assert_eq!(share(std::iter::empty()), 0.0);
        assert_eq!((at_least(0.9, 0.9), at_least(f64::NAN, 0.9)), (SHOWN, UNDECIDED));
        assert_eq!(at_least(0.8, 0.9), REFUTED);
    }

    #[test]
    fn a_table_has_a_line_a_value() {
        let mut findings = Findings::default();
        findings.add(("A1", 20, "head.weight"), "k_gap", (2.0, Some(0.0)), "adamw, batch 16");
        findings.add(("A1", 20, "head.weight"), "k_10", (3.0, None), "adamw, batch 16");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/a.csv");
        write_csv(&path, &findings.rows).expect("written");
        let text = std::fs::read_to_string(path).expect("read");
        assert_eq!(
            text,
            "experiment,stage,matrix,quantity,value,null,settings\n\
             A1,20,head.weight,k_gap,2.0,0.0,\"adamw, batch 16\"\n\
             A1,20,head.weight,k_10,3.0,,\"adamw, batch 16\"\n"
        );
        assert_eq!(findings.values("k_gap", "adamw, batch 16"), [2.0]);
        assert_eq!(findings.nulls("k_10", "adamw, batch 16"), [] as [f64; 0]);
    }
}
