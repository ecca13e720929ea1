//! A6: what Newton and Schulz do to the tail. 2602.11185, figure 5.

use spectra_core::linalg::Schedule;
use spectra_examples::Failure;

use super::gradients::missing;
use super::model::to_matrix;
use super::runs::{STAGES, all, of_preset};
use super::table::{Findings, Verdict, at_least, share};
use super::training::Place;
use crate::instruments::{Arithmetic, alignment, head_and_tail};

const A6: &str = "A6";
const SINGLE: &str = "muon's quintic, 5 steps, f32";
const BRAIN: &str = "muon's quintic, 5 steps, bf16";

pub(super) fn a6(place: &Place<'_>) -> Result<Findings, Failure> {
    let run = of_preset("adamw");
    place.ensure(&run)?;
    let mut findings = Findings::default();
    for stage in STAGES {
        let seen = place.seen(&run, stage)?;
        for name in all() {
            let gradient = to_matrix(seen.get(&format!("{name}/gradient")).ok_or_else(|| missing(&name))?)?;
            // The null is exact arithmetic, of which f32 is one.
            let [single, brain] = [Arithmetic::Single, Arithmetic::Brain]
                .map(|arithmetic| alignment(gradient.as_ref(), Schedule::Muon, arithmetic));
            let (single, brain) = (single?, brain?);
            for (word, exact, rough) in [
                ("align", &single.align, &brain.align),
                ("error", &single.error, &brain.error),
                ("leakage", &single.leakage, &brain.leakage),
            ] {
                let ((head, tail), (rough_head, rough_tail)) = (head_and_tail(exact), head_and_tail(rough));
                for (part, exact, rough) in [("head", head, rough_head), ("tail", tail, rough_tail)] {
                    let quantity = format!("{word}, {part}");
                    findings.add((A6, stage, &name), &*quantity, (exact, None), SINGLE);
                    findings.add((A6, stage, &name), quantity, (rough, Some(exact)), BRAIN);
                }
            }
        }
    }
    judge(&mut findings);
    Ok(findings)
}

fn judge(findings: &mut Findings) {
    let of = |quantity: &str, settings| findings.values(quantity, settings);
    let (head, tail) = (of("align, head", BRAIN), of("align, tail", BRAIN));
    let (exact_head, exact_tail) = (of("align, head", SINGLE), of("align, tail", SINGLE));
    let falls =
        |head: &[f64], tail: &[f64]| share(head.iter().zip(tail).map(|(head, tail)| *tail < 0.8 * head));
    let leaks = share(of("leakage, tail", BRAIN).into_iter().map(|l| l > 0.01));
    let exact_leaks = share(of("leakage, tail", SINGLE).into_iter().map(|l| l > 0.01));
    let aligned = (falls(&head, &tail), falls(&exact_head, &exact_tail));
    for (claim, criterion, (value, null)) in [
        (
            "Newton-Schulz misaligns the tail (align)",
            "share of (matrix, stage) where align falls by a fifth from head to tail in bf16; the null is f32",
            aligned,
        ),
        (
            "Newton-Schulz in bf16 mixes directions of the tail (leakage)",
            "share of (matrix, stage) with leakage above 0.01 in the tail in bf16; the null is f32",
            (leaks, exact_leaks),
        ),
    ] {
        findings.verdicts.push(Verdict {
            experiment: A6,
            claim,
            criterion,
            value,
            threshold: 0.9,
            null: Some(null),
            verdict: at_least(value, 0.9),
        });
    }
}
