//! Matrices with less rank than columns asked for, and repetition.

use spectra_core::backend::Backend;
use spectra_core::linalg::{PowerIteration, SubspaceForm, uniform};

use super::support::{Iterated, compare_left_basis, compare_projection, start};
use crate::HostMatrix;
use crate::distance::{relative_distance, same_bits};
use crate::oracle::{column_condition, product, product_nt};
use crate::suite::{Judge, Outcome, Subject};
use crate::tolerance;

const FORMS: [SubspaceForm; 2] = [SubspaceForm::ColumnNorms, SubspaceForm::Exact];

/// A matrix of exact rank 3 with five columns asked for: everything stays finite, `U W^T` is all of M, and the next
/// call goes on from the V that was left.
///
/// Finds: a division by a zero singular value, a direction of noise that spoils the others.
pub fn power_iteration_deficient<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let k = 5;
    for (rows, cols) in [(24, 40), (41, 23), (65, 64)] {
        judge.at(rows, cols);
        // Small whole numbers: the product is exact in every precision.
        let entry =
            |row: usize, col: usize, step: usize| ((step * row + 5 * col + row * col) % 7) as f64 - 3.0;
        let (left, right) = (
            HostMatrix::from_fn(rows, 3, |i, j| entry(i, j, 3)),
            HostMatrix::from_fn(cols, 3, |i, j| entry(i, j, 2)),
        );
        let m = product_nt(&left, &right);
        for form in FORMS {
            let mut v = start(subject, &m, k);
            for call in 1..=3 {
                let what = format!("call {call} on rank 3, {rows} x {cols}, k = {k}, {form:?}");
                let iterated = Iterated::run(subject, &m, &v, 1, form)?;
                compare_projection(&mut judge, subject, &what, &m, 1.0, &iterated)?;
                let error = relative_distance(&product_nt(&iterated.u, &iterated.w), &m, m.frobenius_norm());
                let tolerance = tolerance::projection(subject.precision(), (rows, cols));
                judge.compare(format_args!("{what}: U W^T is all of M"), error, tolerance)?;
                v = iterated.v;
            }
        }
    }
    judge.finish()
}

/// A zero matrix gives zero factors, no NaN, and the iteration recovers when the matrix is no longer zero.
///
/// Finds: 0 / 0, a V that stays zero for ever.
pub fn power_iteration_zero<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for (rows, cols) in [(1, 1), (9, 5), (5, 9), (64, 65)] {
        judge.at(rows, cols);
        let zero = HostMatrix::zeros(rows, cols);
        let later = subject.random("later", rows, cols);
        let k = rows.min(cols).min(3);
        for form in FORMS {
            let what = format!("zero {rows} x {cols}, {form:?}");
            let v0 = start(subject, &zero, k);
            let iterated = Iterated::run(subject, &zero, &v0, 2, form)?;
            let all_zero =
                [&iterated.u, &iterated.w, &iterated.v].iter().all(|factor| factor.max_abs() == 0.0);
            judge.require(all_zero, format_args!("{what}: U, W and V are zero"))?;
            let no_values = iterated.s.iter().all(|s| *s == 0.0) && iterated.norm_squared == 0.0;
            judge.require(no_values, format_args!("{what}: s and ||M|| are zero"))?;

            let recovered = Iterated::run(subject, &later, &iterated.v, 1, form)?;
            // Zero columns of V are replaced by the generator's.
            let seed = PowerIteration::default().seed;
            let restart = HostMatrix::from_fn(cols, k, |row, col| uniform(seed, row, col));
            compare_left_basis(
                &mut judge,
                subject,
                &format!("after {what}"),
                &later,
                &restart,
                &recovered.u,
            )?;
            let condition = column_condition(&product(&later, &restart))?;
            compare_projection(&mut judge, subject, &format!("after {what}"), &later, condition, &recovered)?;
            let full = recovered.s.iter().all(|s| *s > 0.0);
            judge.require(full, format_args!("after {what}: every direction is alive again"))?;
        }
    }
    judge.finish()
}

/// The same call on the same values gives the same bits.
///
/// Finds: a start that depends on time or on the number of threads, temporaries that are read before they are written.
pub fn power_iteration_deterministic<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for (rows, cols, k) in [(129, 127, 8), (40, 7, 7), (9, 257, 3)] {
        let m = subject.random("deterministic", rows, cols);
        let v0 = start(subject, &m, k);
        for form in FORMS {
            let first = Iterated::run(subject, &m, &v0, 2, form)?;
            let again = Iterated::run(subject, &m, &v0, 2, form)?;
            for (what, first, again) in
                [("U", first.u, again.u), ("W", first.w, again.w), ("V", first.v, again.v)]
            {
                let holds = same_bits(&first, &again);
                judge
                    .require(holds, format_args!("{what} of {rows} x {cols}, {form:?}, repeats its bits"))?;
            }
        }
    }
    judge.finish()
}
