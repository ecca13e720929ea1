//! The low-rank update where no tile or block divides the extents.

use spectra_core::backend::{Backend, Fused};

use crate::distance::entrywise_distance;
use crate::inputs::{Product, large_factors};
use crate::oracle::{product_bound, product_of_doubles};
use crate::suite::{Failure, Judge, Outcome, Subject, Weights};
use crate::tolerance;

/// [`low_rank_add`](super::low_rank_add()) on large matrices, with the paper's k of 61 and with 67.
///
/// Finds: rows or columns left out in a last block or thread, more columns of the factors than a register tile holds.
pub fn low_rank_add_large<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let weights = Weights::few(subject)?;
    for shape in large_factors() {
        update(&mut judge, subject, shape, &weights)?;
    }
    judge.finish()
}

/// [`low_rank_add`](super::low_rank_add()) of every rank up to 70, none included, on matrices whose extents have every remainder
/// modulo 32.
///
/// Finds: what is left over when a rank or an extent is no multiple of a tile, left out or counted twice; a rank of zero
/// that leaves the output as it was.
pub fn low_rank_add_every_rank<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let weights = Weights::few(subject)?;
    for k in 0..=70 {
        update(&mut judge, subject, (33 + (7 * k) % 32, 40 + (11 * k) % 32, k), &weights)?;
    }
    judge.finish()
}

fn update<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    (rows, cols, k): Product,
    weights: &[Weights<B::Scalar>],
) -> Result<(), Failure> {
    judge.at(rows, cols);
    let (x, old) = (subject.random("X", rows, cols), subject.random("old", rows, cols));
    let (left, right) = (subject.random("left", rows, k), subject.random("right", k, cols));
    let (correction, bound) = (product_of_doubles(&left, &right), product_bound(&left, &right));
    let (device_x, l, r) =
        (subject.upload(&x)?, subject.upload(&left)?, subject.upload(&right.transposed())?);
    let allowed = tolerance::product_by_doubles(subject.precision(), k + 1)
        + tolerance::coefficients(subject.precision());
    for weights in weights {
        let mut target = if weights.output_is_unread() {
            subject.unreadable(rows, cols)?
        } else {
            subject.upload(&old)?
        };
        target.low_rank_add(weights.beta(), weights.alpha(), &device_x, &l, &r)?;
        let (beta, alpha) = (weights.beta_value(), weights.alpha_value());
        let difference = x.zip(&correction, |x, correction| x - correction);
        let size = x.zip(&bound, |x, bound| x.abs() + bound);
        let exact = old.zip(&difference, |old, difference| beta * old + alpha * difference);
        let scale = old.zip(&size, |old, size| (beta * old).abs() + alpha.abs() * size);
        let what = format_args!("low_rank_add on {rows} x {cols}, k = {k}, {weights}");
        judge.compare(what, entrywise_distance(&subject.download(&target)?, &exact, &scale), allowed)?;
    }
    Ok(())
}
