//! Thin orthonormalisation of columns, as [`spectra_core::linalg::orthonormalize`] does it on the backend.

use spectra_core::backend::Backend;
use spectra_core::linalg::orthonormalize;

use crate::HostMatrix;
use crate::distance::{entrywise_distance, relative_distance};
use crate::inputs::{Family, Input};
use crate::oracle::{column_condition, product, product_tn};
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::tolerance;

/// The first columns of an input become an orthonormal basis U of their span, and `R = U^T P` is upper triangular with a
/// diagonal that is not negative: together they determine U.
///
/// Finds: columns normalised before they are orthogonal, the Gram matrix of rows, a basis of too small a span.
pub fn orthonormalize_basis<B: Backend>(subject: &Subject<B>) -> Outcome {
    on_inputs(subject, ordinary(subject), |moderate| moderate)
}

/// The same for columns so nearly dependent that their Gram matrix has no accurate Cholesky factor.
///
/// Finds: lost orthogonality, lost directions.
pub fn orthonormalize_ill_conditioned<B: Backend>(subject: &Subject<B>) -> Outcome {
    on_inputs(subject, ordinary(subject), |moderate| !moderate)
}

/// The same at the ends of the range; see [`Subject::extreme_inputs`].
///
/// Finds: squares that overflow to infinite lengths or underflow to zero ones.
pub fn orthonormalize_extreme<B: Backend>(subject: &Subject<B>) -> Outcome {
    on_inputs(subject, subject.extreme_inputs()?, |_| true)
}

/// Tall columns, as many as the paper's k of 61, and 67: no tile or block divides the extents.
///
/// Finds: rows left out of the Gram matrix or of the product with its factor, more columns than a tile holds.
pub fn orthonormalize_large<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let mut workspace = subject.workspace();
    for (m, k) in [(300, 67), (1100, 61), (5003, 7), (65_537, 2)] {
        judge.at(m, k);
        let p = subject.random("tall", m, k);
        let mut device = subject.upload(&p)?;
        orthonormalize(&mut device, &mut workspace)?;
        let u = subject.download(&device)?;
        compare_basis(&mut judge, subject, &format!("{k} columns of length {m}"), &p, &u)?;
    }
    judge.finish()
}

fn ordinary<B: Backend>(subject: &Subject<B>) -> Vec<&'static Input> {
    subject.ordinary_inputs().filter(|input| input.family != Family::Extreme).collect()
}

/// Where `wanted` says so of whether the columns' condition is moderate.
fn on_inputs<B: Backend>(
    subject: &Subject<B>,
    inputs: Vec<&'static Input>,
    wanted: impl Fn(bool) -> bool,
) -> Outcome {
    let mut judge = Judge::new();
    let mut workspace = subject.workspace();
    for input in inputs {
        judge.on(input);
        let most = input.matrix.min_extent();
        for k in [1, 3, 8, most].into_iter().filter(|k| *k <= most) {
            let p = input.matrix.first_columns(k);
            let moderate = column_condition(&p)? <= tolerance::moderate_condition(subject.precision(), k);
            if !wanted(moderate) {
                continue;
            }
            let mut device = subject.upload(&p)?;
            orthonormalize(&mut device, &mut workspace)?;
            let u = subject.download(&device)?;
            compare_basis(&mut judge, subject, &format!("{} columns of {}", k, input.name), &p, &u)?;
        }
    }
    judge.finish()
}

/// Zero columns and exact multiples of earlier ones become zero; the others are not disturbed by them.
///
/// Finds: noise normalised to a direction, a division by zero.
pub fn orthonormalize_dependent<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let mut workspace = subject.workspace();
    for (m, k) in [(7, 6), (65, 9), (129, 17)] {
        judge.at(m, k);
        let mut p = subject.random("dependent", m, k);
        let dead = [0, 3, k - 1];
        for row in 0..m {
            p.data[row * k] = 0.0;
            p.data[row * k + 3] = 4.0 * p.data[row * k + 1];
            p.data[row * k + k - 1] = -0.5 * p.data[row * k + 2];
        }
        let mut device = subject.upload(&p)?;
        orthonormalize(&mut device, &mut workspace)?;
        let u = subject.download(&device)?;
        let zeros: Vec<usize> = (0..k).filter(|&col| (0..m).all(|row| u.at(row, col) == 0.0)).collect();
        judge
            .require(zeros == dead, format_args!("{m} x {k}: columns {dead:?} become zero, not {zeros:?}"))?;
        compare_basis(&mut judge, subject, &format!("dependent {m} x {k}"), &p, &u)?;
    }
    judge.finish()
}

/// `U^T U` is the identity on the columns that are not zero, `U U^T P = P`, and `U^T P` is upper triangular with a
/// diagonal that is not negative.
fn compare_basis<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    what: &str,
    p: &HostMatrix,
    u: &HostMatrix,
) -> Result<(), Failure> {
    let (precision, (m, k)) = (subject.precision(), p.shape());
    let tolerance = tolerance::orthonormality(precision, (m, k));
    let live: Vec<f64> = u.column_norms().iter().map(|norm| if *norm == 0.0 { 0.0 } else { 1.0 }).collect();
    let identity = HostMatrix::identity(k).scaled_columns(&live);
    let defect = relative_distance(&product_tn(u, u), &identity, 1.0);
    judge.compare(format_args!("orthonormalize {what}: orthonormal"), defect, tolerance)?;

    // Each column of P counts by its own length, so that short columns are not lost beside long ones.
    let lengths = p.column_norms();
    let scale = |rows: usize| HostMatrix::from_fn(rows, k, |_, col| lengths[col]);
    let r = product_tn(u, p);
    let span = tolerance::span(precision, (m, k));
    let error = entrywise_distance(&product(u, &r), p, &scale(m));
    judge.compare(format_args!("orthonormalize {what}: spans the columns"), error, span)?;
    let lower = HostMatrix::from_fn(k, k, |row, col| if row > col { r.at(row, col) } else { 0.0 });
    let error = entrywise_distance(&lower, &HostMatrix::zeros(k, k), &scale(k));
    judge.compare(format_args!("orthonormalize {what}: R is upper triangular"), error, span)?;
    let right_sign = (0..k).all(|index| r.at(index, index) >= -span * lengths[index]);
    judge.require(right_sign, format_args!("orthonormalize {what}: diag(R) >= 0"))
}
