//! Factors of matrices that need not be definite.

use spectra_core::backend::Backend;
use spectra_core::linalg::SmallFactor;

use super::{ORDERS, factor};
use crate::distance::relative_distance;
use crate::oracle::{product, product_nt, product_tn};
use crate::suite::{Judge, Outcome, Subject};
use crate::{HostMatrix, tolerance};

/// A symmetric matrix with eigenvalues of both signs.
fn indefinite<B: Backend>(subject: &Subject<B>, k: usize) -> HostMatrix {
    let square = subject.random("indefinite", k, k);
    square.zip(&square.transposed(), |a, b| a + b).rounded(subject.precision())
}

/// Orthonormal eigenvectors of an indefinite matrix, decreasing; and `(A + ridge + max(0, -smallest))^-1/2` by their factor.
///
/// Finds: the order of absolute values, eigenvectors as rows, a shift that leaves negative eigenvalues, roots not inverted.
pub fn eigenvectors<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for k in ORDERS {
        judge.at(k, k);
        let a = indefinite(subject, k);
        let size = a.frobenius_norm();
        let tolerance = tolerance::orthonormality(subject.precision(), (k, k));
        let (v, _) = factor(subject, SmallFactor::EIGENVECTORS, &a)?;
        let defect = relative_distance(&product_tn(&v, &v), &HostMatrix::identity(k), 1.0);
        judge.compare(format_args!("k = {k}: orthogonal"), defect, tolerance)?;
        let rotated = product_tn(&v, &product(&a, &v));
        let lambda: Vec<f64> = (0..k).map(|i| rotated.at(i, i)).collect();
        let error = relative_distance(&rotated, &HostMatrix::identity(k).scaled_columns(&lambda), size);
        judge.compare(format_args!("k = {k}: diagonal"), error, tolerance)?;
        let decreasing = lambda.windows(2).all(|pair| pair[1] <= pair[0] + tolerance * size);
        judge.require(decreasing, format_args!("k = {k}: decreasing"))?;

        // The shifted matrix has eigenvalues from ridge on: a quarter of the size bounds its condition by nine.
        let ridge = 0.25 * size;
        let (half, _) = factor(subject, SmallFactor::Eigen { ridge, power: -0.5 }, &a)?;
        let shift = ridge + lambda.iter().fold(0.0f64, |shift, lambda| shift.max(-lambda));
        let shifted = a.zip(&HostMatrix::identity(k), |a, i| a + shift * i);
        let identity = product(&shifted, &product_nt(&half, &half));
        let error = relative_distance(&identity, &HostMatrix::identity(k), 1.0);
        judge.compare(format_args!("k = {k}: inverse"), error, 9.0 * tolerance)?;
    }
    judge.finish()
}

/// The permutation by the decreasing diagonal of any matrix: exact.
///
/// Finds: the transposed permutation, an increasing order.
pub fn sorter<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for k in ORDERS {
        let a = subject.random("to sort", k, k);
        let (p, _) = factor(subject, SmallFactor::Sorter, &a)?;
        let mut order: Vec<usize> = (0..k).collect();
        order.sort_by(|i, j| a.at(*j, *j).total_cmp(&a.at(*i, *i)));
        let exact = HostMatrix::from_fn(k, k, |i, j| f64::from(u8::from(order[j] == i)));
        judge.require(p.data == exact.data, format_args!("k = {k}: the order of the diagonal"))?;
    }
    judge.finish()
}
