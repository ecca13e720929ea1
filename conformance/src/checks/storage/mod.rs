//! Values go to the device and come back.

mod sixteen_bits;
mod sizes;

pub use sixteen_bits::sixteen_bits;
pub use sizes::{impossible_sizes, large_transfers};

use spectra_core::backend::{Backend, Coefficient, Element, Matrix, Op, Scalar};

use crate::HostMatrix;
use crate::distance::same_bits;
use crate::suite::{Failure, Judge, Outcome, Subject};

/// Every input survives `upload`, `write` and `read` bit by bit, NaN as NaN, and shapes are kept.
///
/// Finds: values that pass through another type, flushed denormals, a lost sign of zero, rows and columns mixed up.
pub fn write_then_read<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let signed_zeros = HostMatrix::from_data(2, 2, vec![0.0, -0.0, -0.0, 1.0]);
    let inputs = subject.inputs().iter().map(|input| (input.name.as_str(), &input.matrix));
    for (name, matrix) in inputs.chain([("signed zeros", &signed_zeros)]) {
        let uploaded = subject.upload(matrix)?;
        judge
            .require(uploaded.shape() == matrix.shape(), format_args!("upload keeps the shape of {name}"))?;
        judge
            .require(same_bits(&subject.download(&uploaded)?, matrix), format_args!("upload keeps {name}"))?;

        let mut written = subject.unreadable(matrix.rows, matrix.cols)?;
        let values: Vec<_> = matrix.data.iter().map(|entry| B::Element::narrow(*entry)).collect();
        written.write(&values)?;
        judge.require(same_bits(&subject.download(&written)?, matrix), format_args!("write keeps {name}"))?;
    }
    judge.finish()
}

/// The slice given to `write` or `upload` may be changed as soon as the call returns.
///
/// Finds: an asynchronous copy, or storage that borrows the caller's.
pub fn values_may_be_reused<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let matrix = subject.random("reused values", 64, 65);
    let narrow = || matrix.data.iter().map(|entry| B::Element::narrow(*entry)).collect::<Vec<_>>();
    let nan = B::Element::narrow(f64::NAN);

    let mut values = narrow();
    let uploaded = subject.backend().upload(matrix.rows, matrix.cols, &values)?;
    values.fill(nan);
    judge.require(
        same_bits(&subject.download(&uploaded)?, &matrix),
        format_args!("upload copies its values"),
    )?;

    let mut values = narrow();
    let mut written = subject.backend().zeros(matrix.rows, matrix.cols, None)?;
    written.write(&values)?;
    values.fill(nan);
    judge
        .require(same_bits(&subject.download(&written)?, &matrix), format_args!("write copies its values"))?;
    judge.finish()
}

/// `zeros` has the shape asked for and holds positive zeros, with and without `rows_like`.
///
/// Finds: memory that is not cleared, extents exchanged.
pub fn zeros<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for (rows, cols) in [(1, 1), (7, 65), (65, 7), (128, 129), (0, 3), (3, 0), (0, 0)] {
        // Memory that was used before is the likeliest to hold something else.
        drop(subject.unreadable(rows, cols)?);
        let rows_like = subject.unreadable(rows, 5)?;
        for like in [None, Some(&rows_like)] {
            let matrix = subject.backend().zeros(rows, cols, like)?;
            judge.require(matrix.shape() == (rows, cols), format_args!("shape of zeros {rows} x {cols}"))?;
            let values = subject.download(&matrix)?;
            let exact = HostMatrix::zeros(rows, cols);
            judge.require(same_bits(&values, &exact), format_args!("values of zeros {rows} x {cols}"))?;
        }
    }
    judge.finish()
}

/// Every operation accepts matrices without entries: they stay empty, and reductions of nothing are 0.
///
/// Finds: a panic or an error on an empty buffer, a reduction that starts from minus infinity.
pub fn empty_matrices<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let (half, one) = (Coefficient::from(0.5), Coefficient::ONE);
    for (rows, cols) in [(0, 3), (3, 0), (0, 0)] {
        let empty = || subject.upload(&HostMatrix::zeros(rows, cols));
        let (mut target, x, y) = (empty()?, empty()?, empty()?);
        target.write(&[])?;
        target.read(&mut [])?;
        target.scale_add(half, one, &x)?;
        target.product_add(half, one, &x, &y)?;
        target.quotient_add(half, one, &x, &y, 1e-8)?;
        target.sign_add(half, one, &x)?;
        target.copy_from(&x)?;
        let square = subject.upload(&HostMatrix::identity(cols))?;
        target.gemm(half, one, &x, Op::Plain, &square, Op::Plain)?;
        judge.require(target.shape() == (rows, cols), format_args!("{rows} x {cols} stays empty"))?;
        for (what, reduction) in [("dot", target.dot(&x)?), ("max_abs", target.max_abs()?)] {
            let value = read(&reduction)?;
            judge.require(
                value == 0.0,
                format_args!("{what} of a {rows} x {cols} matrix is 0, not {value}"),
            )?;
        }
    }
    judge.finish()
}

fn read<S: Scalar>(scalar: &S) -> Result<f64, Failure> {
    Ok(scalar.read()?)
}
