//! A5: relative variance along singular directions. 2602.11185, figure 4.

use faer::Mat;
use spectra_examples::Failure;
use spectra_examples::batches::training_batch;

use super::gradients::{BATCHES, REFERENCE, reference};
use super::model::Model;
use super::runs::{STAGES, all, of_preset};
use super::table::{Findings, Verdict, at_least, share};
use super::training::Place;
use crate::instruments::{Directions, gaussian, median, trend, variances};

const A5: &str = "A5";
/// Sequences of a micro-batch.
const SIZES: [usize; 3] = [1, 4, 16];
/// Micro-batches of each size.
const MICRO: usize = 256;

pub(super) fn a5(place: &Place<'_>) -> Result<Findings, Failure> {
    let run = of_preset("adamw");
    place.ensure(&run)?;
    let (stage, names) = (STAGES[2], all());
    let settings = place.settings(&run.flags)?;
    let (model, split) = (Model::new(&settings)?, place.split(&settings)?);
    model.set(&place.weights(&run, stage)?)?;
    let first = reference(place, &run, stage, &names)?;
    let others = (0..BATCHES).map(|i| training_batch(split.train, 16, settings.context, REFERENCE + 1, i));
    let second = model.mean_gradients(others, &names)?;
    let directions = first.iter().zip(&second).map(|(a, b)| Directions::new(a.as_ref(), b.as_ref()));
    let directions = directions.collect::<Result<Vec<_>, Failure>>()?;

    let mut findings = Findings::default();
    let mut by_size: Vec<Vec<Vec<f64>>> = Vec::new();
    for size in SIZES {
        let mut components = vec![Vec::with_capacity(MICRO); names.len()];
        for i in 0..MICRO {
            let seed = REFERENCE + 2 + size as u64;
            let batch = training_batch(split.train, size, settings.context, seed, i);
            let gradients = model.of(&model.gradients(&batch)?, &names)?;
            for ((list, directions), gradient) in components.iter_mut().zip(&directions).zip(&gradients) {
                list.push(directions.components(gradient.as_ref()));
            }
            if (i + 1).is_multiple_of(64) {
                eprintln!("A5: {} of {MICRO} micro-batches of {size}", i + 1);
            }
        }
        by_size.push(components.iter().map(|list| variances(list)).collect());
    }
    for (at, name) in names.iter().enumerate() {
        let (signal, sigma) = (&directions[at].signal, directions[at].sigma());
        let null = null_trend(first[at].shape(), at as u64)?;
        for (size, of_size) in SIZES.iter().zip(&by_size) {
            let words = format!("adamw, micro-batches of {size}, {MICRO} of them, reference 1024");
            let variance = &of_size[at];
            let relative = |scale: &[f64]| -> Vec<f64> {
                variance.iter().zip(scale).map(|(v, s)| v / (s * s)).collect()
            };
            let (plain, honest) = (relative(sigma), relative(signal));
            for k in [1, 2, 4, 8, 16, 32, 64, 128] {
                for (quantity, list) in [("Var", variance), ("RelVar", &plain), ("RelVar'", &honest)] {
                    findings.add((A5, stage, name), format!("{quantity}({k})"), (list[k - 1], None), &words);
                }
            }
            for (quantity, list, null) in
                [("Var", variance, 0.0), ("RelVar", &plain, 1.0), ("RelVar'", &honest, null)]
            {
                findings.add(
                    (A5, stage, name),
                    format!("trend of {quantity}"),
                    (trend(list), Some(null)),
                    &words,
                );
            }
            // Sampling noise alone: the variance times the batch is the same for all sizes.
            let ratios: Vec<f64> =
                variance.iter().zip(&by_size[0][at]).map(|(v, single)| v * *size as f64 / single).collect();
            findings.add(
                (A5, stage, name),
                "median of Var x batch over that of 1",
                (median(&ratios), Some(1.0)),
                &words,
            );
        }
    }
    judge(&mut findings);
    Ok(findings)
}

/// The trend of `1 / s_k^2` where there is no signal at all.
fn null_trend((m, n): (usize, usize), seed: u64) -> Result<f64, Failure> {
    let noise = |seed: u64| -> Mat<f64> { gaussian(m, n, 7000 + seed) };
    let directions = Directions::new(noise(2 * seed).as_ref(), noise(2 * seed + 1).as_ref())?;
    Ok(trend(&directions.signal.iter().map(|s| 1.0 / (s * s)).collect::<Vec<_>>()))
}

fn judge(findings: &mut Findings) {
    let of = |quantity: &str, size: usize| {
        findings.values(quantity, &format!("adamw, micro-batches of {size}, {MICRO} of them, reference 1024"))
    };
    let nulls = findings
        .nulls("trend of RelVar'", &format!("adamw, micro-batches of 16, {MICRO} of them, reference 1024"));
    let rises = share(of("trend of RelVar'", 16).into_iter().map(|trend| trend > 0.8));
    let plain = share(of("trend of RelVar", 16).into_iter().map(|trend| trend > 0.8));
    let constant = share(
        of("median of Var x batch over that of 1", 4)
            .into_iter()
            .chain(of("median of Var x batch over that of 1", 16))
            .map(|ratio| (ratio - 1.0).abs() <= 0.2),
    );
    let null = share(nulls.into_iter().map(|trend| trend > 0.8));
    for (claim, criterion, value, null) in [
        (
            "relative variance rises with the index (one reference, as the figure)",
            "share of matrices with Spearman(k, RelVar) > 0.8; of noise it is 1 by definition",
            plain,
            1.0,
        ),
        (
            "relative variance rises with the index (independent reference)",
            "share of matrices with Spearman(k, RelVar') > 0.8",
            rises,
            null,
        ),
        (
            "it is sampling noise",
            "share of (matrix, batch 4 or 16) where Var x batch is within 20 % of that of 1",
            constant,
            1.0,
        ),
    ] {
        let verdict = at_least(value, 0.9);
        let null = Some(null);
        findings.verdicts.push(Verdict {
            experiment: A5,
            claim,
            criterion,
            value,
            threshold: 0.9,
            null,
            verdict,
        });
    }
}
