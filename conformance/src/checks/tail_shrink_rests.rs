//! Tail shrink between two refreshes of the subspace, and the refreshes that cannot wait.

use spectra_core::backend::Backend;
use spectra_core::linalg::{PowerIteration, SubspaceForm, uniform};
use spectra_core::maps::TailShrink;

use super::power_iteration::compare_left_basis;
use super::tail_shrink::{options, projection, shrink};
use crate::HostMatrix;
use crate::distance::{relative_distance, same_bits, scalar_distance};
use crate::inputs::Family;
use crate::oracle::{self, Svd, orthonormal_basis, product};
use crate::suite::{Judge, Outcome, Subject};
use crate::tolerance;

/// Between refreshes the cached V stays as it is, bit by bit, and the spike is what M does to its span. V holds the dominant
/// directions, roughly: one that cannot be dominant does not rest. A backend whose host does not know the norms refreshes at
/// every step.
///
/// Finds: a refresh at every step, a cache that changes, a projection from the wrong side.
pub fn tail_shrink_between_refreshes<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in subject.ordinary_inputs().filter(|input| input.family == Family::Spiked) {
        judge.on(input);
        let (m, k) = (&input.matrix, 2);
        if m.min_extent() <= k {
            continue;
        }
        let options = TailShrink { refresh_every: 3, ..options(m, k, SubspaceForm::ColumnNorms) };
        let near = subject.random("V0", m.cols, k).map(|entry| entry / 8.0 / (m.cols as f64).sqrt());
        let v = input.svd()?.v.first_columns(k).zip(&near, |exact, near| exact + near);
        let v = v.rounded(subject.precision());
        for step in 0..=4 {
            let what = format!("tail shrink on {}, step {step}", input.name);
            let shrunk = shrink(subject, &options, m, None, Some(&v), step)?;
            let kept = shrunk.cache.as_ref().is_some_and(|cache| same_bits(cache, &v));
            let known = shrunk.host_knows_norms;
            let due = step % 3 == 0 || !known;
            judge.require(kept != due, format_args!("{what}: V is refreshed at every third step"))?;
            if due {
                continue;
            }
            let basis = orthonormal_basis(&v)?;
            let w = product(m, &basis);
            let unit = orthonormal_basis(&w)?;
            // On the transposed problem the roles of U and V are exchanged.
            let exact = oracle::TailShrink::from_factors(&m.transposed(), &basis, &w, &unit);
            let svd = Svd::of(&w)?;
            let condition = svd.sigma[0] / svd.sigma[k - 1];
            let angle = tolerance::subspace_angle(subject.precision(), m.shape(), k, 4.0 * condition);
            let norm = m.frobenius_norm();
            let tail = exact.tail.frobenius_norm() / norm;
            let w_tolerance = projection(subject, &shrunk, condition);
            let tail_tolerance =
                tolerance::tail_norm(subject.precision(), w_tolerance, m.data.len(), tail, known);
            let exact_shaped = exact.shaped.transposed();
            let shaped = exact_shaped.frobenius_norm();
            let error = relative_distance(&shrunk.shaped, &exact_shaped, shaped);
            judge.compare(format_args!("{what}: O"), error, angle * norm / shaped + tail_tolerance)?;
            let error = scalar_distance(shrunk.sigma_tail, exact.sigma_tail, exact.sigma_tail);
            judge.compare(
                format_args!("{what}: sigma_tail"),
                error,
                angle * norm / shaped + tail_tolerance,
            )?;
        }
    }
    judge.finish()
}

/// A first gradient of zero leaves an empty subspace; the first one that is not zero is shrunk whenever the next refresh
/// would be: as exactly as by a first step, or, where the host knows no norms, as by one iteration from random columns.
///
/// Finds: an empty subspace that rests, a V that stays zero for ever.
pub fn tail_shrink_after_zero<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in subject.ordinary_inputs().filter(|input| input.family == Family::Spiked) {
        judge.on(input);
        let (m, k) = (&input.matrix, 2);
        if m.min_extent() <= k {
            continue;
        }
        let zero = HostMatrix::zeros(m.rows, m.cols);
        let svd = input.svd()?;
        for every in [1, 1000] {
            let options = TailShrink { refresh_every: every, ..options(m, k, SubspaceForm::ColumnNorms) };
            let what = format!("tail shrink on {} after zero, refreshed at every step {every}", input.name);
            let first = shrink(subject, &options, &zero, None, None, 0)?;
            judge
                .require(first.shaped.max_abs() == 0.0, format_args!("{what}: the image of zero is zero"))?;
            let empty = first.cache.unwrap_or_else(|| HostMatrix::zeros(m.cols, k));
            let shrunk = shrink(subject, &options, &zero, Some((0.5, m)), Some(&empty), 1)?;
            let exact = svd.tail_shrink(k);
            let restarts = relative_distance(&shrunk.shaped, &exact, exact.frobenius_norm());
            let condition = svd.sigma[0] / (svd.sigma[k - 1] - svd.sigma[k]);
            let angle = tolerance::subspace_angle(subject.precision(), m.shape(), k, 4.0 * condition);
            if shrunk.host_knows_norms {
                let tolerance = angle * m.frobenius_norm() / exact.frobenius_norm();
                judge.compare(format_args!("{what}: O"), restarts, tolerance)?;
            } else if restarts > angle * m.frobenius_norm() / exact.frobenius_norm() {
                // Not told, so not bootstrapped.
                let start =
                    HostMatrix::from_fn(m.cols, k, |row, col| uniform(PowerIteration::PAPER.seed, row, col));
                let Some(u) = &shrunk.left else {
                    judge.require(false, format_args!("{what}: there is a correction"))?;
                    continue;
                };
                compare_left_basis(&mut judge, subject, &what, m, &start, u)?;
            }
        }
    }
    judge.finish()
}
