//! B5: norms of weights over training. 2603.14315, figure 4.

use spectra_examples::Failure;

use super::model::to_matrix;
use super::runs::{STEPS, of_decay};
use super::table::{Findings, REFUTED, SHOWN, UNDECIDED, Verdict};
use super::training::Place;
use crate::instruments::{WeightSize, weight_size};

const B5: &str = "B5";
const PAIRS: [(&str, &str); 2] = [("adamw", "spectra-adamw"), ("signum", "spectra-signum")];
const SEEDS: [u64; 3] = [1, 2, 3];
const NORMS: [&str; 3] = ["spectral", "Frobenius", "max"];

pub(super) fn b5(place: &Place<'_>) -> Result<Findings, Failure> {
    let mut findings = Findings::default();
    for (base, clipped) in PAIRS {
        for seed in SEEDS {
            for preset in [base, clipped] {
                let run = of_decay(preset, seed);
                place.ensure(&run)?;
                let settings = format!("{preset}, lr 3e-3, wd 1.33, T {STEPS}, seed {seed}");
                for &step in &run.keeps {
                    let weights = place.weights(&run, step)?;
                    let (mut hidden, mut whole) = (WeightSize::default(), WeightSize::default());
                    for (name, tensor) in weights.iter().filter(|(_, tensor)| tensor.rank() == 2) {
                        let size = weight_size(to_matrix(tensor)?.as_ref())?;
                        whole = whole + size;
                        if name.starts_with("layers.") {
                            hidden = hidden + size;
                        }
                    }
                    for (of, size) in [("hidden matrices", hidden), ("all matrices", whole)] {
                        for (norm, value) in
                            NORMS.into_iter().zip([size.spectral, size.frobenius, size.largest])
                        {
                            findings.add(
                                (B5, step, of),
                                format!("sum of {norm} norms"),
                                (value, None),
                                &*settings,
                            );
                        }
                    }
                }
            }
        }
    }
    judge(&mut findings);
    Ok(findings)
}

fn judge(findings: &mut Findings) {
    let last = |preset: &str, seed: u64, norm: &str| -> f64 {
        let settings = format!("{preset}, lr 3e-3, wd 1.33, T {STEPS}, seed {seed}");
        let wanted = format!("sum of {norm} norms");
        let found = findings.rows.iter().find(|row| {
            row.stage == STEPS
                && row.matrix == "hidden matrices"
                && row.quantity == wanted
                && row.settings == settings
        });
        found.map_or(f64::NAN, |row| row.value)
    };
    let mut verdicts = Vec::new();
    for ((base, clipped), claim) in PAIRS.into_iter().zip([
        "clipped AdamW's weights stay smaller at the same learning rate, in all three norms",
        "clipped Signum's weights stay smaller at the same learning rate, in all three norms",
    ]) {
        let ratio = |(seed, norm): (u64, &str)| last(clipped, seed, norm) / last(base, seed, norm);
        let ratios: Vec<f64> =
            SEEDS.into_iter().flat_map(|seed| NORMS.map(|norm| ratio((seed, norm)))).collect();
        let value = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let verdict = match () {
            () if ratios.iter().any(|ratio| ratio.is_nan()) => UNDECIDED,
            () if value < 1.0 => SHOWN,
            () => REFUTED,
        };
        verdicts.push(Verdict {
            experiment: B5,
            claim,
            criterion: "largest ratio of final sums over hidden matrices, clipped over base, of 3 norms and 3 seeds: below 1",
            value,
            threshold: 1.0,
            null: None,
            verdict,
        });
    }
    findings.verdicts.extend(verdicts);
}
