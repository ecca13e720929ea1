//! A1: spectra of gradients. 2602.11185, figures 1 and 9-11.

use faer::Mat;
use spectra_examples::Failure;
use spectra_examples::batches::training_batch;

use super::model::{Model, to_matrix};
use super::runs::{EARLY, STAGES, all, of_preset, of_width};
use super::table::{Findings, UNDECIDED, Verdict, at_least, share};
use super::training::{Place, Run};
use crate::instruments::{gaps, gaussian, singular_values};

const A1: &str = "A1";
/// Seed of batches that no training has seen.
pub(super) const REFERENCE: u64 = 9001;
/// Batches of 16 in a reference gradient.
pub(super) const BATCHES: usize = 64;

pub(super) fn a1(place: &Place<'_>) -> Result<Findings, Failure> {
    let run = of_preset("adamw");
    place.ensure(&run)?;
    let mut findings = Findings::default();
    for stage in STAGES {
        let seen = place.seen(&run, stage)?;
        let large = reference(place, &run, stage, &all())?;
        for (name, large) in all().iter().zip(large) {
            let own = to_matrix(seen.get(&format!("{name}/gradient")).ok_or_else(|| missing(name))?)?;
            for (batch, gradient) in [(16, own), (16 * BATCHES, large)] {
                add(&mut findings, (stage, name), &gradient, &format!("adamw, width 128, batch {batch}"))?;
            }
        }
    }
    for width in [64, 256] {
        let run = of_width(width);
        place.ensure(&run)?;
        for stage in EARLY {
            let seen = place.seen(&run, stage)?;
            for name in all() {
                let own = to_matrix(seen.get(&format!("{name}/gradient")).ok_or_else(|| missing(&name))?)?;
                add(&mut findings, (stage, &name), &own, &format!("adamw, width {width}, batch 16"))?;
            }
        }
    }
    judge(&mut findings);
    Ok(findings)
}

pub(super) fn missing(name: &str) -> Failure {
    Failure::run(format!("a file has no {name}; remove the folder and run it again"))
}

/// The mean gradient of 1024 sequences at the weights before a step.
pub(super) fn reference(
    place: &Place<'_>,
    run: &Run,
    stage: usize,
    names: &[String],
) -> Result<Vec<Mat<f64>>, Failure> {
    let settings = place.settings(&run.flags)?;
    let (model, split) = (Model::new(&settings)?, place.split(&settings)?);
    model.set(&place.weights(run, stage)?)?;
    let batches = (0..BATCHES).map(|i| training_batch(split.train, 16, settings.context, REFERENCE, i));
    model.mean_gradients(batches, names)
}

fn add(
    findings: &mut Findings,
    (stage, name): (usize, &str),
    gradient: &Mat<f64>,
    settings: &str,
) -> Result<(), Failure> {
    let shape = gradient.shape();
    let of = |a: &Mat<f64>| Ok::<_, Failure>(gaps(&singular_values(a.as_ref())?, shape));
    // The scale of the noise changes none of these numbers.
    let (found, null) = (of(gradient)?, of(&gaussian(shape.0, shape.1, stage as u64))?);
    let r = shape.0.min(shape.1) as f64;
    let numbers = [
        ("k_gap", found.k_gap as f64, null.k_gap as f64),
        ("k_gap / r", found.k_gap as f64 / r, null.k_gap as f64 / r),
        ("log ratio at k_gap", found.log_ratio, null.log_ratio),
        ("k_mp", found.k_mp as f64, null.k_mp as f64),
        ("k_10", found.k_10 as f64, null.k_10 as f64),
        ("sigma_1 / median", found.spike, null.spike),
    ];
    for (quantity, value, null) in numbers {
        findings.add((A1, stage, name), quantity, (value, Some(null)), settings);
    }
    Ok(())
}

fn judge(findings: &mut Findings) {
    for (batch, claim) in [
        (16, "a spike of 0.5-3 % of the directions in gradients of one batch"),
        (1024, "a spike of 0.5-3 % of the directions in gradients of 1024 sequences"),
    ] {
        let settings = format!("adamw, width 128, batch {batch}");
        let fractions = findings.values("k_gap / r", &settings);
        let spikes = findings.values("sigma_1 / median", &settings);
        let nulls = findings.nulls("k_gap / r", &settings);
        let null_spikes = findings.nulls("sigma_1 / median", &settings);
        let inside = |fraction: &f64| (0.005..=0.03).contains(fraction);
        let value = share(fractions.iter().zip(&spikes).map(|(k, spike)| inside(k) && *spike >= 10.0));
        findings.verdicts.push(Verdict {
            experiment: A1,
            claim,
            criterion: "share of (matrix, stage) with k_gap / r in 0.005-0.03 and sigma_1 / median >= 10",
            value,
            threshold: 0.9,
            null: Some(share(nulls.iter().zip(&null_spikes).map(|(k, spike)| inside(k) && *spike >= 10.0))),
            verdict: at_least(value, 0.9),
        });
    }
    // A share: k grows in proportion to the width, a slope of 1 in ln k over ln width; a number: a slope of 0.
    let mean = |width: usize| {
        let values: Vec<f64> = EARLY
            .iter()
            .flat_map(|stage| {
                let settings = format!("adamw, width {width}, batch 16");
                let rows = findings.rows.iter().filter(move |row| {
                    row.stage == *stage && row.quantity == "k_gap" && row.settings == settings
                });
                rows.map(|row| row.value.ln()).collect::<Vec<_>>()
            })
            .collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    let slope = (mean(256) - mean(64)) / 4f64.ln();
    findings.verdicts.push(Verdict {
        experiment: A1,
        claim: "the spike is a share of the directions, not a number of them",
        criterion: "slope of mean ln k_gap over ln width, 64 to 256, batch 16, two stages: 1 a share, 0 a number",
        value: slope,
        threshold: 0.5,
        null: None,
        // Three widths and two stages tell a share from a number only where the slope is near one of them.
        verdict: if (0.25..0.75).contains(&slope) { UNDECIDED } else { at_least(slope, 0.5) },
    });
}
