//! The weight update by a matrix and a low-rank correction.

use spectra_core::backend::{Backend, Fused};

use super::wide_range_inputs;
use crate::HostMatrix;
use crate::distance::relative_distance;
use crate::inputs::Input;
use crate::oracle::{absolute_product, product_nt};
use crate::suite::{Failure, Judge, Outcome, Subject, Weights};
use crate::tolerance;

/// `self = beta self + alpha (X - L R^T)`.
///
/// Finds: a sum in place of the difference, the right factor not transposed, alpha or beta applied to one part only.
pub fn low_rank_add<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in wide_range_inputs(subject) {
        judge.on(input);
        for rank in [1, 3] {
            let cases = low_rank_cases(subject, input, rank)?;
            let defaults = low_rank_cases(&subject.required_only(), input, rank)?;
            for ((what, computed, exact, scale), (_, default, ..)) in cases.iter().zip(&defaults) {
                let what = format!("low_rank_add on {}, k = {rank}, {what}", input.name);
                let tolerance = tolerance::product(subject.precision(), rank + 1)
                    + tolerance::coefficients(subject.precision());
                let error = relative_distance(computed, exact, *scale);
                judge.compare(format_args!("{what}"), error, tolerance)?;
                let difference = relative_distance(computed, default, *scale);
                judge.compare(format_args!("{what}, as its default"), difference, 2.0 * tolerance)?;
            }
        }
    }
    judge.finish()
}

fn low_rank_cases<B: Backend>(
    subject: &Subject<B>,
    input: &Input,
    rank: usize,
) -> Result<Vec<(String, HostMatrix, HostMatrix, f64)>, Failure> {
    let (rows, cols) = input.matrix.shape();
    let (left, right) = (subject.random("left", rows, rank), subject.random("right", cols, rank));
    let old = subject.random("old", rows, cols);
    let (l, r, x) = (subject.upload(&left)?, subject.upload(&right)?, subject.upload(&input.matrix)?);
    let correction = product_nt(&left, &right);
    let difference = input.matrix.zip(&correction, |x, low_rank| x - low_rank);
    let difference_scale =
        input.matrix.frobenius_norm() + absolute_product(&left, &right.transposed()).frobenius_norm();
    let mut cases = Vec::new();
    for weights in Weights::all(subject)? {
        let mut target = if weights.output_is_unread() {
            subject.unreadable(rows, cols)?
        } else {
            subject.upload(&old)?
        };
        target.low_rank_add(weights.beta(), weights.alpha(), &x, &l, &r)?;
        let (beta, alpha) = (weights.beta_value(), weights.alpha_value());
        let exact = old.zip(&difference, |old, difference| beta * old + alpha * difference);
        let scale = beta.abs() * old.frobenius_norm() + alpha.abs() * difference_scale;
        cases.push((weights.to_string(), subject.download(&target)?, exact, scale));
    }
    Ok(cases)
}
