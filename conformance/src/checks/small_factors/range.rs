//! Gram matrices at the ends of the range.

use spectra_core::backend::Backend;
use spectra_core::linalg::SmallFactor;

use super::factor;
use crate::distance::relative_distance;
use crate::oracle::{product, product_tn};
use crate::suite::{Judge, Outcome, Subject};
use crate::{HostMatrix, Precision, tolerance};

const K: usize = 5;

/// Exponents of the squared lengths, all even. The last columns of doubles have squares that are no normal numbers: they may
/// count as zero, but must not become anything else.
fn exponents(precision: Precision) -> Vec<[i32; K]> {
    match precision {
        Precision::F32 => vec![[-126; K], [124; K], [-126, 124, 0, 124, -126]],
        Precision::F64 => vec![[-1022; K], [1018; K], [-1022, 1018, 0, 1018, -1022], [-1040; K]],
    }
}

/// The factors of `D C D` with a diagonal D of powers of two are those of C, scaled: its entries have few digits, so that no scale
/// rounds them.
///
/// Finds: squared lengths below some number taken for zero, a product of two lengths or of their inverses that leaves the range,
/// rotations that depend on products of squares.
pub fn small_factor_range<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    judge.at(K, K);
    // 1 + diag(1, 2, .. 5): by Gershgorin and interlacing its eigenvalues lie between 1 and 10.
    let plain = HostMatrix::from_fn(K, K, |i, j| if i == j { (i + 2) as f64 } else { 1.0 });
    let precision = subject.precision();
    let spacing = 2.0 * precision.unit_roundoff() * precision.min_positive();
    for exponents in exponents(precision) {
        // Sums of K squares are rounded to a denormal's spacing, which is more than a rounding where squares are no normal numbers.
        let least = f64::exp2(f64::from(exponents.into_iter().fold(0, i32::min)));
        let tolerance = 10.0 * (tolerance::orthonormality(precision, (K, K)) + K as f64 * spacing / least);
        let length = |i: usize| f64::exp2(f64::from(exponents[i] / 2));
        let gram = HostMatrix::from_fn(K, K, |i, j| plain.at(i, j) * length(i) * length(j));
        let no_normal_squares = gram.max_abs() < precision.min_positive();
        for kind in [SmallFactor::CholeskyInverse, SmallFactor::ColumnNormalizer, SmallFactor::Diagonalizer] {
            let what = format!("{kind:?} of squared lengths of 2^{exponents:?}");
            let (computed, _) = factor(subject, kind, &gram)?;
            if no_normal_squares && computed.max_abs() == 0.0 {
                judge.require(true, format_args!("{what}: all columns count as zero"))?;
                continue;
            }
            let scaled = HostMatrix::from_fn(K, K, |i, j| computed.at(i, j) * length(i));
            let (result, exact) = match kind {
                SmallFactor::CholeskyInverse => {
                    let upper = (0..K).all(|i| (0..i).all(|j| computed.at(i, j) == 0.0));
                    judge.require(upper, format_args!("{what}: upper triangular"))?;
                    (product_tn(&scaled, &product(&plain, &scaled)), HostMatrix::identity(K))
                }
                SmallFactor::ColumnNormalizer => {
                    let inverse = |i: usize| 1.0 / plain.at(i, i).sqrt();
                    (scaled, HostMatrix::from_fn(K, K, |i, j| if i == j { inverse(i) } else { 0.0 }))
                }
                SmallFactor::Diagonalizer => {
                    let orthogonal = product_tn(&computed, &computed);
                    let defect = relative_distance(&orthogonal, &HostMatrix::identity(K), 1.0);
                    judge.compare(format_args!("{what}: orthogonal"), defect, tolerance)?;
                    // In units of the longest column, where no product leaves the range.
                    let longest = (0..K).map(length).fold(0.0, f64::max);
                    let unit = |i: usize| length(i) / longest;
                    let gram = HostMatrix::from_fn(K, K, |i, j| plain.at(i, j) * unit(i) * unit(j));
                    let rotated = product_tn(&computed, &product(&gram, &computed));
                    let diagonal: Vec<f64> = (0..K).map(|i| rotated.at(i, i)).collect();
                    (rotated, HostMatrix::identity(K).scaled_columns(&diagonal))
                }
                // Accurate relative to the largest eigenvalue only: not in the list above.
                SmallFactor::Eigen { .. } | SmallFactor::Sorter => continue,
            };
            judge.compare(format_args!("{what}"), relative_distance(&result, &exact, 1.0), tolerance)?;
        }
    }
    judge.finish()
}
