//! A3: how much of M and V the spike has. 2602.11185, figures 3 and 13.

use spectra_examples::Failure;

use super::gradients::missing;
use super::model::to_matrix;
use super::runs::{STAGES, all, of_preset};
use super::table::{Findings, Verdict, at_least, share};
use super::training::Place;
use crate::instruments::{
    Negative, energy_cdf, gaussian, histogram, median, noise_second_moment, shares, singular_values,
    tail_updates,
};
use faer::{Mat, Scale};

const A3: &str = "A3";
/// 1.5 % of 128.
const K: usize = 2;
/// Of AdamW.
const EPS: f64 = 1e-8;

pub(super) fn a3(place: &Place<'_>) -> Result<Findings, Failure> {
    let run = of_preset("adamw");
    place.ensure(&run)?;
    let (beta1, beta2) = (0.9, place.settings(&run.flags)?.beta2);
    let settings = format!("adamw, b2 {beta2}, k {K}");
    let mut findings = Findings::default();
    for stage in STAGES {
        let seen = place.seen(&run, stage)?;
        for (index, name) in all().iter().enumerate() {
            let get = |part: &str| seen.get(&format!("{name}/{part}")).ok_or_else(|| missing(name));
            let t = stage as i32 + 1;
            let corrected = |part: &str, beta: f64| {
                Ok::<_, Failure>(to_matrix(get(part)?)? * Scale(1.0 / (1.0 - beta.powi(t))))
            };
            let (m, v) = (corrected("momentum", beta1)?, corrected("second_moment", beta2)?);
            let seed = (1000 * stage + index) as u64;
            let noise_v =
                noise_second_moment(m.shape(), beta2, stage + 1, seed) * Scale(1.0 / (1.0 - beta2.powi(t)));
            let noise_m = gaussian(m.nrows(), m.ncols(), seed + 500_000);
            let at = (A3, stage, name.as_str());
            let of_m = |m: &Mat<f64>| Ok::<_, Failure>(energy_cdf(&singular_values(m.as_ref())?)[K - 1]);
            findings.add(at, "share of M", (of_m(&m)?, Some(of_m(&noise_m)?)), &settings);
            let ((whole, rest), (null, null_rest)) = (shares(v.as_ref(), K)?, shares(noise_v.as_ref(), K)?);
            findings.add(at, "share of V", (whole, Some(null)), &settings);
            findings.add(at, "share of V without rank one", (rest, Some(null_rest)), &settings);
            for (negative, word) in [(Negative::Magnitude, "|V_t|"), (Negative::Zero, "max(V_t, 0)")] {
                let updates = tail_updates(m.as_ref(), v.as_ref(), K, negative, EPS)?;
                let null = tail_updates(noise_m.as_ref(), noise_v.as_ref(), K, negative, EPS)?;
                let quantity = format!("median tail-only over whole, {word}");
                findings.add(at, quantity, (updates.gain(), Some(null.gain())), &settings);
                if stage == STAGES[2] && name == "layers.3.mlp.down.weight" {
                    for (form, list) in [
                        ("text", &updates.text),
                        ("caption", &updates.caption),
                        ("tail only", &updates.tail_only),
                    ] {
                        for (bin, value) in histogram(list) {
                            let quantity = format!("histogram of {form}, {word}, 10^{bin}");
                            findings.add(at, quantity, (value, None), &settings);
                        }
                    }
                }
            }
        }
    }
    judge(&mut findings, &settings);
    Ok(findings)
}

fn judge(findings: &mut Findings, settings: &str) {
    let mean = |list: &[f64]| list.iter().sum::<f64>() / list.len() as f64;
    for (quantity, claim, criterion) in [
        (
            "share of V",
            "the spike has nearly all of V",
            "share of (matrix, stage) where k 2 has more of V than noise has",
        ),
        (
            "share of V without rank one",
            "V has a spike beyond being positive",
            "share of (matrix, stage) where k 2 has more of V without its rank-one part than noise has",
        ),
        (
            "share of M",
            "the spike has half of M",
            "share of (matrix, stage) where k 2 has at least half of M",
        ),
    ] {
        let (values, nulls) = (findings.values(quantity, settings), findings.nulls(quantity, settings));
        let bound = |null: &f64| if quantity == "share of M" { 0.5 } else { *null };
        let value = share(values.iter().zip(&nulls).map(|(value, null)| *value > bound(null)));
        findings.verdicts.push(Verdict {
            experiment: A3,
            claim,
            criterion,
            value,
            threshold: 0.9,
            null: Some(mean(&nulls)),
            verdict: at_least(value, 0.9),
        });
    }
    let quantity = "median tail-only over whole, |V_t|";
    let (values, nulls) = (findings.values(quantity, settings), findings.nulls(quantity, settings));
    // A matrix with rows that never had a gradient, as the embedding's of bytes that do not occur, has a median of 0 / 0.
    let value = median(&values.into_iter().filter(|ratio| ratio.is_finite()).collect::<Vec<_>>());
    findings.verdicts.push(Verdict {
        experiment: A3,
        claim: "updates of the tail alone are two orders larger",
        criterion: "median over (matrix, stage) of the medians' ratio",
        value,
        threshold: 100.0,
        null: Some(mean(&nulls)),
        verdict: at_least(value, 100.0),
    });
}
