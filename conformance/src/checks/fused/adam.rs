//! The AdamW pass.

use spectra_core::backend::{Backend, Fused};

use super::wide_range_inputs;
use crate::HostMatrix;
use crate::distance::entrywise_distance;
use crate::inputs::Input;
use crate::suite::{Failure, Judge, Outcome, Subject, Weights};
use crate::tolerance;

/// The AdamW pass: both moments and the weights.
///
/// Finds: moments exchanged, `1 - beta` taken of the other beta or
/// computed in low precision, eps inside the root, the weights updated with the old moments.
pub fn adam_add<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in wide_range_inputs(subject) {
        judge.on(input);
        let cases = adam_cases(subject, input)?;
        let defaults = adam_cases(&subject.required_only(), input)?;
        for (case, default) in cases.iter().zip(&defaults) {
            for ((what, computed, exact, scale), (_, default, ..)) in case.iter().zip(default) {
                // The longest chain, that of the weights: both moments (4 each), root, eps, quotient, alpha, beta, sum; and the
                // coefficients of the moments and of the weights.
                let tolerance = tolerance::elementwise(subject.precision(), 14)
                    + 2.0 * tolerance::coefficients(subject.precision());
                let error = entrywise_distance(computed, exact, scale);
                judge.compare(format_args!("adam_add on {}: {what}", input.name), error, tolerance)?;
                let difference = entrywise_distance(computed, default, scale);
                judge.compare(
                    format_args!("adam_add on {}: {what}, as its default", input.name),
                    difference,
                    tolerance,
                )?;
            }
        }
    }
    judge.finish()
}

/// What, computed, exact, scale of each entry's rounding error.
type Compared = (String, HostMatrix, HostMatrix, HostMatrix);

fn adam_cases<B: Backend>(subject: &Subject<B>, input: &Input) -> Result<Vec<Vec<Compared>>, Failure> {
    let (b1, b2, eps) = (0.9, 0.999, 1e-8);
    let precision = subject.precision();
    let (rows, cols) = input.matrix.shape();
    let random = |label| subject.random(label, rows, cols);
    let (old, first, root) = (random("weights"), random("first moment"), random("second moment"));
    let second = root.map(|entry| entry * entry).rounded(precision);

    let mut cases = Vec::new();
    for weights in Weights::all(subject)? {
        let (mut x, mut m, mut v) =
            (subject.upload(&old)?, subject.upload(&first)?, subject.upload(&second)?);
        let gradient = subject.upload(&input.matrix)?;
        x.adam_add(weights.beta(), weights.alpha(), &mut m, &mut v, &gradient, (b1, b2), eps)?;

        let (beta, alpha) = (weights.beta_value(), weights.alpha_value());
        let first_exact = first.zip(&input.matrix, |m, g| b1 * m + (1.0 - b1) * g);
        let first_scale = first.zip(&input.matrix, |m, g| (b1 * m).abs() + ((1.0 - b1) * g).abs());
        let second_exact = second.zip(&input.matrix, |v, g| b2 * v + (1.0 - b2) * g.powi(2));
        let updated = |old: &HostMatrix, first: &HostMatrix, alpha: f64, beta: f64| {
            let step = first.zip(&second_exact, |m, v| alpha * m / (v.sqrt() + eps));
            old.zip(&step, |old, step| beta * old + step)
        };
        let weights_exact = updated(&old, &first_exact, alpha, beta);
        let weights_scale = updated(&old.map(f64::abs), &first_scale, alpha.abs(), beta.abs());
        let name = |what| format!("{what}, {weights}");
        cases.push(vec![
            (name("first moment"), subject.download(&m)?, first_exact, first_scale),
            (name("second moment"), subject.download(&v)?, second_exact.clone(), second_exact.clone()),
            (name("weights"), subject.download(&x)?, weights_exact, weights_scale),
        ]);
    }
    Ok(cases)
}
