//! The sweep of the power iteration where no tile or block divides the extents.

use spectra_core::backend::{Backend, Fused, Scalar};

use super::Factor;
use super::power_sweep::Update;
use crate::HostMatrix;
use crate::distance::{entrywise_distance, scalar_distance};
use crate::inputs::{Product, large_factors};
use crate::oracle::{dot, product_bound, product_of_doubles};
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::tolerance;

/// [`power_sweep`](super::power_sweep()) on large matrices, with the paper's k of 61 and with 67.
///
/// Finds: rows, columns of M or columns of V left out in a last block, tile or thread; more columns than a register tile
/// holds.
pub fn power_sweep_large<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for shape in large_factors() {
        for update in [Update::None, Update::Scaled] {
            sweep(&mut judge, subject, shape, update)?;
        }
    }
    judge.finish()
}

/// [`power_sweep`](super::power_sweep()) with every number of columns up to 67, on matrices whose extents have every remainder
/// modulo 32.
///
/// Finds: what is left over when an extent is no multiple of a tile, left out or counted twice.
pub fn power_sweep_every_rank<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for k in 1..=67 {
        let shape = (33 + (7 * k) % 32, 40 + (11 * k) % 32, k);
        sweep(&mut judge, subject, shape, Update::ALL[k % Update::ALL.len()])?;
    }
    judge.finish()
}

/// Each output against the exact function of the outputs before it, entry by entry.
fn sweep<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    (rows, cols, k): Product,
    update: Update,
) -> Result<(), Failure> {
    judge.at(rows, cols);
    let precision = subject.precision();
    let (old, v, g) = (
        subject.random("M", rows, cols),
        subject.random("V", cols, k),
        subject.random("gradient", rows, cols),
    );
    let ((mu, factor), alpha) = (update.numbers(), 0.3);
    let mut m =
        if update == Update::Replace { subject.unreadable(rows, cols)? } else { subject.upload(&old)? };
    let (mut p, mut gram) = (subject.unreadable(rows, k)?, subject.unreadable(k, k)?);
    let mut z = subject.unreadable(cols, k)?;
    let (values, scale) = (subject.upload(&g)?, Factor::new(subject, factor)?);
    let gradient = scale.gradient(&values);
    let step = (update != Update::None).then_some((mu, &gradient));
    let norm_squared = m.power_sweep(step, alpha, &subject.upload(&v)?, &mut p, &mut gram, &mut z)?.read()?;
    let [m, p, gram, z] = [&m, &p, &gram, &z].map(|matrix| subject.download(matrix));
    let (m, p, gram, z) = (m?, p?, gram?, z?);

    let what = format!("power_sweep of {rows} x {cols}, k = {k}, {update:?}");
    let shapes = [m.shape(), p.shape(), gram.shape(), z.shape()];
    let right = shapes == [(rows, cols), (rows, k), (k, k), (cols, k)];
    judge.require(right, format_args!("{what}: shapes {shapes:?}"))?;
    let coefficients = tolerance::coefficients(precision);
    let exact = old.zip(&g, |old, g| mu * old + factor * g);
    let size = old.zip(&g, |old, g| mu * old.abs() + factor * g.abs());
    let error = entrywise_distance(&m, &exact, &size);
    judge.compare(
        format_args!("{what}: momentum"),
        error,
        tolerance::elementwise(precision, 3) + coefficients,
    )?;

    let mut compare = |output: &str,
                       computed: &HostMatrix,
                       a: &HostMatrix,
                       b: &HostMatrix,
                       alpha: f64,
                       rounded: f64| {
        let exact = product_of_doubles(a, b).map(|entry| alpha * entry);
        let scale = product_bound(a, b).map(|entry| alpha * entry);
        let allowed = tolerance::product_by_doubles(precision, a.cols) + coefficients + rounded;
        judge.compare(format_args!("{what}: {output}"), entrywise_distance(computed, &exact, &scale), allowed)
    };
    // P may be rounded to its storage type after the sums over its unrounded entries: two more roundings.
    let rounded = tolerance::elementwise(precision, 2);
    compare("P", &p, &m, &v, alpha, 0.0)?;
    compare("P^T P", &gram, &p.transposed(), &p, 1.0, rounded)?;
    compare("Z", &z, &m.transposed(), &p, alpha, rounded)?;

    let exact = dot(m.data.iter().map(|&entry| (entry, entry)));
    let error = scalar_distance(norm_squared, exact, exact);
    judge.compare(format_args!("{what}: norm"), error, tolerance::reduction(precision, rows * cols))
}
