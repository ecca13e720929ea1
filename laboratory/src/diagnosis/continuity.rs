//! A7: do the leading directions stay. 2602.11185, figure 6.

use std::collections::BTreeMap;

use faer::Mat;
use spectra_examples::Failure;

use super::gradients::missing;
use super::model::to_matrix;
use super::runs::{LAGS, STAGES, STEPS, of_figures, of_tail_shrink, windows};
use super::table::{Findings, Verdict, at_least, share};
use super::training::Place;
use crate::instruments::{Cosines, captured_energy, cosines, leading, null_cosines, svd};

const A7: &str = "A7";
const KS: [usize; 2] = [2, 8];

pub(super) fn a7(place: &Place<'_>) -> Result<Findings, Failure> {
    let run = of_tail_shrink();
    place.ensure(&run)?;
    let mut findings = Findings::default();
    let mut nulls = BTreeMap::new();
    for (stage, first) in STAGES.into_iter().zip(windows()) {
        for name in of_figures() {
            for of in ["gradient", "momentum"] {
                let right = |step: usize| -> Result<Mat<f64>, Failure> {
                    let seen = place.seen(&run, step)?;
                    let tensor = seen.get(&format!("{name}/{of}")).ok_or_else(|| missing(&name))?;
                    Ok(svd(to_matrix(tensor)?.as_ref())?.v)
                };
                let begun = right(first)?;
                for lag in LAGS {
                    let later = right(first + lag)?;
                    for k in KS {
                        let found = cosines(leading(begun.as_ref(), k), leading(later.as_ref(), k))?;
                        add(&mut findings, (stage, &name), (of, lag, k, begun.nrows()), &found, &mut nulls)?;
                    }
                }
            }
        }
    }
    for step in (0..STEPS).step_by(10) {
        let seen = place.seen(&run, step)?;
        for name in of_figures() {
            let get = |part: &str| seen.get(&format!("{name}/{part}")).map(to_matrix).transpose();
            let momentum = get("momentum")?.ok_or_else(|| missing(&name))?;
            // There is no basis before the first step.
            let Some(before) = get("subspace_before")? else { continue };
            let turned: Mat<f64> = &momentum * &before;
            let u = svd(turned.as_ref())?.u;
            let captured = captured_energy(u.as_ref(), momentum.as_ref())?;
            let k = u.ncols();
            findings.add(
                (A7, step, &name),
                "captured energy",
                (captured, None),
                format!("spectra, k {k}, T 1"),
            );
        }
    }
    judge(&mut findings);
    Ok(findings)
}

type Nulls = BTreeMap<(usize, usize), [f64; 3]>;

fn add(
    findings: &mut Findings,
    (stage, name): (usize, &str),
    (of, lag, k, n): (&str, usize, usize, usize),
    found: &Cosines,
    nulls: &mut Nulls,
) -> Result<(), Failure> {
    let null = match nulls.get(&(n, k)) {
        Some(known) => *known,
        None => {
            let mean = |of: fn(&Cosines) -> f64| null_cosines((n, k), 40, of).map(|(mean, _)| mean);
            let all = [mean(Cosines::largest)?, mean(Cosines::mean)?, mean(Cosines::smallest)?];
            nulls.insert((n, k), all);
            all
        }
    };
    let values = [("largest", found.largest()), ("mean", found.mean()), ("smallest", found.smallest())];
    for ((word, value), null) in values.into_iter().zip(null) {
        let quantity = format!("{word} cosine of {of} at lag {lag}");
        findings.add((A7, stage, name), quantity, (value, Some(null)), format!("spectra, k {k}"));
    }
    Ok(())
}

fn judge(findings: &mut Findings) {
    for (quantity, k, bound, claim, criterion) in [
        (
            "mean cosine of momentum at lag 1",
            "spectra, k 2",
            0.95,
            "the leading directions of the momentum stay from step to step",
            "share of (matrix, stage) with a mean cosine of M, k 2, lag 1, of 0.95",
        ),
        (
            "largest cosine of gradient at lag 1",
            "spectra, k 2",
            0.98,
            "consecutive gradients share a leading direction",
            "share of (matrix, stage) with a largest cosine of G, k 2, lag 1, of 0.98",
        ),
        (
            "mean cosine of gradient at lag 1",
            "spectra, k 2",
            0.95,
            "consecutive gradients share all leading directions",
            "share of (matrix, stage) with a mean cosine of G, k 2, lag 1, of 0.95",
        ),
    ] {
        let (values, nulls) = (findings.values(quantity, k), findings.nulls(quantity, k));
        let value = share(values.iter().map(|cosine| *cosine >= bound));
        let null = nulls.iter().sum::<f64>() / nulls.len() as f64;
        let (threshold, null) = (0.9, Some(null));
        findings.verdicts.push(Verdict {
            experiment: A7,
            claim,
            criterion,
            value,
            threshold,
            null,
            verdict: at_least(value, threshold),
        });
    }
    let late = findings.rows.iter().filter(|row| row.quantity == "captured energy" && row.stage >= 10);
    let value = share(late.map(|row| row.value >= 0.99));
    findings.verdicts.push(Verdict {
        experiment: A7,
        claim: "one pass of the cached power iteration suffices",
        criterion: "share of (matrix, step from 10 on) where it captures 0.99 of what k directions can",
        value,
        threshold: 0.9,
        null: None,
        verdict: at_least(value, 0.9),
    });
}
