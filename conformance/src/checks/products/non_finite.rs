//! NaN and infinities in products.

use spectra_core::backend::{Backend, Coef, Coefficient, Fused, Matrix, Op, Result as CoreResult};

use super::{OPS, WIDTH, transposed_if};
use crate::HostMatrix;
use crate::distance::same_non_finite;
use crate::inputs::{Family, NON_FINITE};
use crate::suite::{Failure, Judge, Outcome, Subject};

/// NaN and infinities reach every entry that they take part in, also through a factor of zero, and no other; old ones stay
/// unless beta is zero.
///
/// Finds: a shortcut for zeros of either factor, a padded block that multiplies an infinity by zero, an old NaN that is
/// replaced where beta is not zero.
pub fn gemm_non_finite<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in subject.inputs().iter().filter(|input| input.family == Family::NonFinite) {
        for (op_a, op_b) in OPS {
            // As the first factor beside zero columns of the second, then as the second beside zero rows of the first.
            let special = transposed_if(&input.matrix, op_a);
            let mut zeros = subject.random("non-finite", special.cols, WIDTH);
            zeros.data.iter_mut().step_by(WIDTH).for_each(|entry| *entry = 0.0);
            let (left, right) = ((&special, op_a), (&zeros, op_b));
            propagates(&mut judge, subject, &format!("{} on the left", input.name), left, right)?;

            let special = transposed_if(&input.matrix, op_b);
            let mut zeros = subject.random("non-finite", WIDTH, special.rows);
            zeros.data.iter_mut().take(special.rows).for_each(|entry| *entry = 0.0);
            let (left, right) = ((&zeros, op_a), (&special, op_b));
            propagates(&mut judge, subject, &format!("{} on the right", input.name), left, right)?;
        }
    }
    let (a, b) = (subject.random("finite a", 9, 7), subject.random("finite b", 7, 9));
    let (x, y) = (subject.upload(&a)?, subject.upload(&b)?);
    old_ones_stay(&mut judge, subject, "gemm", |t, beta| {
        t.gemm(beta, Coefficient::ONE, &x, Op::Plain, &y, Op::Plain)
    })?;
    judge.finish()
}

/// A NaN or an infinity in the factor of a Gram matrix reaches its row and column; old ones stay unless beta is zero.
///
/// Finds: what [`gemm_non_finite`] finds, in the code for one triangle.
pub fn gemm_symmetric_non_finite<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in subject.inputs().iter().filter(|input| input.family == Family::NonFinite) {
        for (op, other) in [(Op::Plain, Op::Transposed), (Op::Transposed, Op::Plain)] {
            let mut matrix = input.matrix.clone();
            // A row and a column of zeros, but for what is not finite.
            let cols = matrix.cols;
            for (index, entry) in matrix.data.iter_mut().enumerate() {
                if entry.is_finite() && (index / cols == 4 || index % cols == 33) {
                    *entry = 0.0;
                }
            }
            let a = transposed_if(&matrix, op);
            let exact = ieee_product(&a, &a.transposed());
            let x = subject.upload(&matrix)?;
            let mut target = subject.unreadable(a.rows, a.rows)?;
            target.gemm_symmetric(Coefficient::ZERO, Coefficient::ONE, &x, op, &x, other)?;
            let holds = same_non_finite(&subject.download(&target)?, &exact);
            judge.require(
                holds,
                format_args!("gemm_symmetric, {op:?}: {} propagates as IEEE says", input.name),
            )?;
        }
    }
    let x = subject.upload(&subject.random("finite a", 9, 7))?;
    old_ones_stay(&mut judge, subject, "gemm_symmetric", |t, beta| {
        t.gemm_symmetric(beta, Coefficient::ONE, &x, Op::Plain, &x, Op::Transposed)
    })?;
    judge.finish()
}

fn propagates<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    what: &str,
    (a, op_a): (&HostMatrix, Op),
    (b, op_b): (&HostMatrix, Op),
) -> Result<(), Failure> {
    let (x, y) = (subject.upload(&transposed_if(a, op_a))?, subject.upload(&transposed_if(b, op_b))?);
    let mut target = subject.unreadable(a.rows, b.cols)?;
    target.gemm(Coefficient::ZERO, Coefficient::ONE, &x, op_a, &y, op_b)?;
    let holds = same_non_finite(&subject.download(&target)?, &ieee_product(a, b));
    judge.require(holds, format_args!("gemm, {op_a:?}, {op_b:?}: {what} propagates as IEEE says"))
}

fn ieee_product(a: &HostMatrix, b: &HostMatrix) -> HostMatrix {
    HostMatrix::from_fn(a.rows, b.cols, |row, col| (0..a.cols).map(|p| a.at(row, p) * b.at(p, col)).sum())
}

/// Calls `apply`, which adds a finite 9 x 9 product, on old values that are not finite in symmetric places.
fn old_ones_stay<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    operation: &str,
    apply: impl Fn(&mut B::Matrix, Coef<'_, B::Matrix>) -> CoreResult<()>,
) -> Result<(), Failure> {
    let half = subject.scalar(0.5)?;
    let betas = [
        ("one", Coefficient::ONE),
        ("a half", 0.5.into()),
        ("a half on the device", Coefficient::device(1.0, &half)),
    ];
    for (name, value) in NON_FINITE {
        for places in [[(0, 0), (0, 0)], [(8, 8), (8, 8)], [(0, 8), (8, 0)], [(5, 3), (3, 5)]] {
            let old =
                HostMatrix::from_fn(9, 9, |row, col| if places.contains(&(row, col)) { value } else { 1.0 });
            for (beta_is, beta) in betas {
                let mut target = subject.upload(&old)?;
                apply(&mut target, beta)?;
                let holds = same_non_finite(&subject.download(&target)?, &old);
                let what =
                    format_args!("{operation}: an old {name} at {places:?} stays with a beta of {beta_is}");
                judge.require(holds, what)?;
            }
        }
    }
    Ok(())
}
