//! NaN and infinities in the fused operations.

use spectra_core::backend::{Backend, Entrywise, Fused, Scalar};

use super::Factor;
use super::entrywise::RULES;
use super::rule::{Before, Call, Numbers, adam, entrywise, memories};
use crate::HostMatrix;
use crate::distance::same_non_finite;
use crate::inputs::NON_FINITE;
use crate::suite::{Failure, Judge, Outcome, Subject, Weights};

const SHAPE: (usize, usize) = (5, 67);

/// The first entry, one in a row's remainder, and the last.
const PLACES: [usize; 3] = [0, 66, 5 * 67 - 1];

/// NaN and infinities in the gradient, the weights or any state reach what they take part in, and nothing else.
///
/// Finds: an old NaN that is replaced though its factor is not zero, a clamp or a maximum that drops one, a sign of NaN.
pub fn entrywise_add_non_finite<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for rule in RULES {
        for numbers in [(0.0, -1.0 / 3.0, 0.3), (1.0, -0.5, 1.0), (0.7, 1.1, 0.3)] {
            steps(&mut judge, subject, "entrywise_add", rule, numbers, entrywise)?;
        }
    }
    judge.finish()
}

/// The same in the AdamW pass.
///
/// Finds: what [`entrywise_add_non_finite`] finds.
pub fn adam_add_non_finite<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for betas in [(0.9, 0.999), (0.0, 0.99), (0.9, 0.0)] {
        let rule = Entrywise::Adam { betas, eps: 1e-8, slow: None };
        for numbers in [(0.0, -1.0 / 3.0, 1.0), (0.7, 1.1, 1.0)] {
            steps(&mut judge, subject, "adam_add", rule, numbers, adam)?;
        }
    }
    judge.finish()
}

fn steps<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    operation: &str,
    rule: Entrywise,
    numbers: Numbers,
    call: Call<B>,
) -> Result<(), Failure> {
    let memories = memories(rule, numbers.0);
    for (name, value) in NON_FINITE {
        // In the gradient, then in each matrix that is read.
        for holder in core::iter::once(None).chain((0..memories.len()).map(Some)) {
            if holder.is_some_and(|index| memories[index] == 0.0) {
                continue;
            }
            // The look-ahead `mu M + c G` of an infinite new M: a factor of zero may or may not be multiplied.
            let looks_ahead_by_zero = matches!(rule, Entrywise::Momentum { mu: 0.0, nesterov: true, .. });
            if holder.is_none() && value.is_infinite() && looks_ahead_by_zero {
                continue;
            }
            let mut before = Before::with(subject, subject.random("gradient", SHAPE.0, SHAPE.1));
            let special = match holder {
                None => &mut before.gradient,
                Some(index) => &mut before.matrices[index],
            };
            PLACES.iter().for_each(|&place| special.data[place] = value);
            let computed = before.step(subject, rule, numbers, call)?;
            let exact = before.exact(rule, numbers, computed.len());
            let holds = computed.iter().zip(&exact).all(|(computed, exact)| same_non_finite(computed, exact));
            let place = holder.map_or("the gradient".to_owned(), |index| format!("matrix {index}"));
            let what = format_args!(
                "{operation}, {rule:?} with {numbers:?}: {name} in {place} propagates as IEEE says"
            );
            judge.require(holds, what)?;
        }
    }
    Ok(())
}

/// NaN and infinities in any operand of the low-rank update, beside factors of zero.
///
/// Finds: what [`entrywise_add_non_finite`] finds, a shortcut for zeros, a padded tile that multiplies an infinity by zero.
pub fn low_rank_add_non_finite<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let (rows, cols, k) = (9, 65, 5);
    let zero_row = |mut matrix: HostMatrix| {
        matrix.data[2 * k..3 * k].fill(0.0);
        matrix
    };
    for (name, value) in NON_FINITE {
        for holder in ["old", "X", "L", "R"] {
            let operand = |label: &str, rows, cols| {
                let mut matrix = subject.random(label, rows, cols);
                if label == holder {
                    let last = matrix.data.len() - 1;
                    (matrix.data[0], matrix.data[last]) = (value, value);
                }
                matrix
            };
            let (old, x) = (operand("old", rows, cols), operand("X", rows, cols));
            let (left, right) = (zero_row(operand("L", rows, k)), zero_row(operand("R", cols, k)));
            let product = ieee_product(&left, &right.transposed());
            let (l, r, device_x) = (subject.upload(&left)?, subject.upload(&right)?, subject.upload(&x)?);
            for weights in Weights::few(subject)? {
                let unread = weights.output_is_unread();
                if unread && holder == "old" {
                    continue;
                }
                let mut target =
                    if unread { subject.unreadable(rows, cols)? } else { subject.upload(&old)? };
                target.low_rank_add(weights.beta(), weights.alpha(), &device_x, &l, &r)?;
                let difference = x.zip(&product, |x, product| x - product);
                let exact =
                    old.zip(&difference, |old, new| weights.beta_value() * old + weights.alpha_value() * new);
                let holds = same_non_finite(&subject.download(&target)?, &exact);
                let what =
                    format_args!("low_rank_add, {weights}: {name} in {holder} propagates as IEEE says");
                judge.require(holds, what)?;
            }
        }
    }
    judge.finish()
}

/// NaN and infinities in any operand of the sweep, beside factors of zero.
///
/// Finds: what [`low_rank_add_non_finite`] finds, a norm that drops a NaN.
pub fn power_sweep_non_finite<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let (rows, cols, k) = (9, 33, 5);
    let scale = Factor::new(subject, 0.3)?;
    for (name, value) in NON_FINITE {
        for holder in ["M", "V", "gradient"] {
            let operand = |label: &str, rows, cols| {
                let mut matrix = subject.random(label, rows, cols);
                if label == holder {
                    let last = matrix.data.len() - 1;
                    matrix.data[last] = value;
                } else if label != "gradient" {
                    // The last column of M meets the last row of V.
                    matrix.data.iter_mut().skip(cols - 1).step_by(cols).for_each(|entry| *entry = 0.0);
                    matrix.data.iter_mut().rev().take(2).for_each(|entry| *entry = 0.0);
                }
                matrix
            };
            let (old, v, g) =
                (operand("M", rows, cols), operand("V", cols, k), operand("gradient", rows, cols));
            for updated in [false, true] {
                let (mut m, values) = (subject.upload(&old)?, subject.upload(&g)?);
                let (mut p, mut gram) = (subject.unreadable(rows, k)?, subject.unreadable(k, k)?);
                let mut z = subject.unreadable(cols, k)?;
                let gradient = scale.gradient(&values);
                let update = updated.then_some((0.9, &gradient));
                let norm =
                    m.power_sweep(update, 0.5, &subject.upload(&v)?, &mut p, &mut gram, &mut z)?.read()?;

                let exact_m = if updated { old.zip(&g, |old, g| 0.9 * old + 0.3 * g) } else { old.clone() };
                let exact_p = ieee_product(&exact_m, &v).map(|entry| 0.5 * entry);
                let exact_gram = ieee_product(&exact_p.transposed(), &exact_p);
                let exact_z = ieee_product(&exact_m.transposed(), &exact_p);
                let outputs = [
                    ("momentum", &m, exact_m.clone()),
                    ("P", &p, exact_p),
                    ("P^T P", &gram, exact_gram),
                    ("Z", &z, exact_z),
                ];
                for (output, computed, exact) in outputs {
                    let holds = same_non_finite(&subject.download(computed)?, &exact);
                    let what = format_args!(
                        "power_sweep, update {updated}: {name} in {holder} reaches {output} as IEEE says"
                    );
                    judge.require(holds, what)?;
                }
                let exact: f64 = exact_m.data.iter().map(|entry| entry * entry).sum();
                let holds = norm.is_finite() == exact.is_finite() && norm.is_nan() == exact.is_nan();
                judge.require(
                    holds,
                    format_args!("power_sweep, update {updated}: {name} in {holder}: norm {norm}"),
                )?;
            }
        }
    }
    judge.finish()
}

fn ieee_product(a: &HostMatrix, b: &HostMatrix) -> HostMatrix {
    HostMatrix::from_fn(a.rows, b.cols, |row, col| (0..a.cols).map(|p| a.at(row, p) * b.at(p, col)).sum())
}
