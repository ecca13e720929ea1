//! B2: the noise of single sequences. 2603.14315, figures F.15 and F.16.

use std::collections::BTreeMap;

use spectra_examples::Failure;
use spectra_examples::batches::training_batch;

use super::gradients::{REFERENCE, reference};
use super::model::Model;
use super::runs::{STAGES, all, of_preset};
use super::table::{Findings, Verdict, at_least, share};
use super::training::Place;
use crate::instruments::{mean_and_deviation, noise_shape, random_cosines, svd};

const B2: &str = "B2";
const KS: [usize; 3] = [1, 4, 8];
/// Single sequences.
const SEQUENCES: usize = 64;

pub(super) fn b2(place: &Place<'_>) -> Result<Findings, Failure> {
    let run = of_preset("adamw");
    place.ensure(&run)?;
    let names = all();
    let settings = place.settings(&run.flags)?;
    let (model, split) = (Model::new(&settings)?, place.split(&settings)?);
    let mut findings = Findings::default();
    let mut nulls = Nulls::new();
    for stage in STAGES {
        model.set(&place.weights(&run, stage)?)?;
        let means = reference(place, &run, stage, &names)?;
        let signals = means.iter().map(|mean| svd(mean.as_ref())).collect::<Result<Vec<_>, Failure>>()?;
        let mut shapes = vec![[const { Vec::new() }; 3]; names.len()];
        for i in 0..SEQUENCES {
            let batch = training_batch(split.train, 1, settings.context, REFERENCE + 50, i);
            let gradients = model.of(&model.gradients(&batch)?, &names)?;
            for (at, gradient) in gradients.iter().enumerate() {
                let noise = gradient - &means[at];
                for (list, k) in shapes[at].iter_mut().zip(KS) {
                    list.push(noise_shape(noise.as_ref(), &signals[at], k)?);
                }
            }
        }
        eprintln!("B2: {SEQUENCES} sequences at step {stage}");
        for (at, name) in names.iter().enumerate() {
            for (k, list) in KS.into_iter().zip(&shapes[at]) {
                let mean = |of: &dyn Fn(&crate::instruments::NoiseShape) -> f64| {
                    mean_and_deviation(&list.iter().map(of).collect::<Vec<_>>()).0
                };
                let (m, n) = means[at].shape();
                let (chordal, deviation) = null(&mut nulls, (m, n), k)?;
                let words = format!("adamw, k {k}, {SEQUENCES} sequences, signal of 1024");
                let spot = (B2, stage, name.as_str());
                let over = share(list.iter().map(|shape| shape.ratio > 1.0));
                for (quantity, value, null) in [
                    ("sigma_1(N) / sigma_1(S), mean", mean(&|s| s.ratio), None),
                    ("share of sequences with sigma_1(N) > sigma_1(S)", over, None),
                    ("chordal distance, larger side, mean", mean(&|s| s.chordal), Some(chordal)),
                    ("chordal distance, left", mean(&|s| s.chordal_sides.0), None),
                    ("chordal distance, right", mean(&|s| s.chordal_sides.1), None),
                    ("spectral distance, mean", mean(&|s| s.spectral), None),
                    ("share of |N|^2 in k directions", mean(&|s| s.share), None),
                    ("|u_S N v_S| / sigma_1(S), mean", mean(&|s| s.along.abs()), None),
                    (
                        "chordal distance below its null by deviations",
                        (chordal - mean(&|s| s.chordal)) / deviation,
                        Some(0.0),
                    ),
                ] {
                    findings.add(spot, quantity, (value, null), &*words);
                }
            }
        }
    }
    judge(&mut findings);
    Ok(findings)
}

type Nulls = BTreeMap<(usize, usize, usize), (f64, f64)>;

/// The larger of both sides' distances of random subspaces: mean and deviation.
fn null(nulls: &mut Nulls, (m, n): (usize, usize), k: usize) -> Result<(f64, f64), Failure> {
    if let Some(known) = nulls.get(&(m, n, k)) {
        return Ok(*known);
    }
    let side = |n: usize, draw: u64| Ok::<_, Failure>(random_cosines((n, k), draw)?.chordal_distance());
    let larger = |draw: u64| Ok(side(m, 2 * draw)?.max(side(n, 2 * draw + 1)?));
    let found = mean_and_deviation(&(0..100).map(larger).collect::<Result<Vec<_>, Failure>>()?);
    nulls.insert((m, n, k), found);
    Ok(found)
}

fn judge(findings: &mut Findings) {
    let rows = |quantity: &str| -> Vec<f64> {
        findings.rows.iter().filter(|row| row.quantity == quantity).map(|row| row.value).collect()
    };
    let over = rows("share of sequences with sigma_1(N) > sigma_1(S)");
    let over = over.iter().sum::<f64>() / over.len() as f64;
    let orthogonal =
        share(rows("chordal distance below its null by deviations").into_iter().map(|below| below <= 2.0));
    let list = [
        (
            "spikes of single sequences' noise exceed the signal's",
            "share of (matrix, stage, sequence) with sigma_1(N) > sigma_1(S)",
            over,
            0.5,
        ),
        (
            "noise is orthogonal to the signal",
            "share of (matrix, stage, k) whose chordal distance is not below its null by 2 deviations",
            orthogonal,
            0.9,
        ),
    ];
    for (claim, criterion, value, threshold) in list {
        let verdict = at_least(value, threshold);
        findings.verdicts.push(Verdict {
            experiment: B2,
            claim,
            criterion,
            value,
            threshold,
            null: None,
            verdict,
        });
    }
}
