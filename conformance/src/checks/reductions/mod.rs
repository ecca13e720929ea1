//! Reductions of a matrix to one number.

mod large;

pub use large::{dot_large, max_abs_large};

use spectra_core::backend::{Backend, Coefficient, Matrix, Op, Scalar};

use crate::HostMatrix;
use crate::distance::{same_bits, scalar_distance};
use crate::inputs::{Family, NON_FINITE};
use crate::oracle::dot as exact_dot;
use crate::suite::{Judge, Outcome, Subject};
use crate::tolerance;

/// `<self, X>`, with itself and with another matrix, and over a million positive terms.
///
/// Finds: a missing last row or column, a norm in place of its square, sums one by one in single precision, sums in
/// single precision of a double backend.
pub fn dot<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let long = subject.random("a million terms", 1024, 1025).map(f64::abs);
    let compare = |judge: &mut Judge, name: &str, x: &HostMatrix, y: &HostMatrix| {
        let pairs = || x.data.iter().copied().zip(y.data.iter().copied());
        let computed = subject.upload(x)?.dot(&subject.upload(y)?)?.read()?;
        let scale = exact_dot(pairs().map(|(x, y)| (x.abs(), y.abs())));
        let error = scalar_distance(computed, exact_dot(pairs()), scale);
        judge.compare(
            format_args!("dot of {name}"),
            error,
            tolerance::reduction(subject.precision(), x.data.len()),
        )
    };
    for input in subject.ordinary_inputs() {
        judge.on(input);
        let other = subject.random("dot", input.matrix.rows, input.matrix.cols);
        compare(&mut judge, &format!("{} and another matrix", input.name), &input.matrix, &other)?;
        // The squares of 1e30 and of 1e-30 leave the range of single precision.
        if input.family != Family::Extreme {
            compare(&mut judge, &format!("{} and itself", input.name), &input.matrix, &input.matrix)?;
        }
    }
    judge.at(long.rows, long.cols);
    compare(&mut judge, "a million positive terms", &long, &long)?;
    judge.finish()
}

/// A sum that leaves the range of the elements is infinite, or right in a wider scalar.
///
/// Finds: a wrapped, clamped or NaN result.
pub fn dot_overflow<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let entry = match subject.precision() {
        crate::Precision::F32 => subject.precision().round(1e30),
        crate::Precision::F64 => 1e200,
    };
    for sign in [1.0, -1.0] {
        let x = subject.upload(&HostMatrix::from_fn(9, 65, |_, _| entry))?;
        let y = subject.upload(&HostMatrix::from_fn(9, 65, |_, _| sign * entry))?;
        let computed = x.dot(&y)?.read()?;
        let exact = sign * 585.0 * entry * entry;
        let close =
            scalar_distance(computed, exact, exact.abs()) <= tolerance::reduction(subject.precision(), 585);
        let holds = computed == sign * f64::INFINITY || close;
        judge.require(
            holds,
            format_args!("dot of {entry:e} and {:e} overflows to {computed}", sign * entry),
        )?;
    }
    judge.finish()
}

/// NaN and infinities go where IEEE arithmetic puts them: through a factor of zero, and infinities of both signs to NaN.
///
/// Finds: a NaN dropped by a comparison or a shortcut for zeros, an infinity clamped.
pub fn dot_non_finite<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in subject.inputs().iter().filter(|input| input.family == Family::NonFinite) {
        let (rows, cols) = input.matrix.shape();
        let x = subject.upload(&input.matrix)?;
        for (beside, value) in [("ones", 1.0), ("zeros", 0.0)] {
            let y = HostMatrix::from_fn(rows, cols, |_, _| value);
            let exact: f64 = input.matrix.data.iter().map(|entry| entry * value).sum();
            let y = subject.upload(&y)?;
            for computed in [x.dot(&y)?.read()?, y.dot(&x)?.read()?] {
                let holds = computed == exact || (computed.is_nan() && exact.is_nan());
                judge.require(
                    holds,
                    format_args!("dot of {} and {beside} is {exact}, not {computed}", input.name),
                )?;
            }
        }
    }
    for (name, value) in NON_FINITE {
        let mut opposite = HostMatrix::from_fn(9, 65, |_, _| 1.0);
        (opposite.data[17], opposite.data[300]) = (value, -value);
        let ones = subject.upload(&HostMatrix::from_fn(9, 65, |_, _| 1.0))?;
        let computed = subject.upload(&opposite)?.dot(&ones)?.read()?;
        judge.require(
            computed.is_nan(),
            format_args!("dot over {name} and its negative is NaN, not {computed}"),
        )?;
    }
    judge.finish()
}

/// `max_ij |self_ij|` exactly; a denormal maximum may be zero.
///
/// Finds: a maximum without absolute value, a corner left out, a maximum that starts from something else than zero.
pub fn max_abs<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in subject.inputs().iter().filter(|input| input.family != Family::NonFinite) {
        let computed = subject.upload(&input.matrix)?.max_abs()?.read()?;
        let exact = input.matrix.max_abs();
        let flushed = input.family == Family::Denormal && computed == 0.0;
        let holds = computed == exact || flushed;
        judge.require(holds, format_args!("max_abs of {} is {exact:e}, not {computed:e}", input.name))?;
    }
    for corner in [(0, 0), (0, 64), (128, 0), (128, 64)] {
        for value in [-8.0, 8.0] {
            let matrix =
                HostMatrix::from_fn(129, 65, |row, col| if (row, col) == corner { value } else { 0.5 });
            let computed = subject.upload(&matrix)?.max_abs()?.read()?;
            judge.require(
                computed == 8.0,
                format_args!("max_abs with {value} at {corner:?} is 8, not {computed}"),
            )?;
        }
    }
    judge.finish()
}

/// A NaN anywhere makes `max_abs` NaN, also beside an infinity; an infinity makes it infinite.
///
/// Finds: a NaN check that passes, because a comparison with NaN is false or a block of entries is left out.
pub fn max_abs_non_finite<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in subject.inputs().iter().filter(|input| input.family == Family::NonFinite) {
        let computed = subject.upload(&input.matrix)?.max_abs()?.read()?;
        let nan = input.matrix.data.iter().any(|entry| entry.is_nan());
        let holds = if nan { computed.is_nan() } else { computed == f64::INFINITY };
        judge.require(holds, format_args!("max_abs of {} is {computed}", input.name))?;
    }
    for (nan_at, infinity_at) in
        [(0, 1), (1, 0), (0, 8384), (8384, 0), (4096, 4095), (4095, 4096), (4000, 8000)]
    {
        for (nan, infinity) in [(f64::NAN, f64::INFINITY), (-f64::NAN, f64::NEG_INFINITY)] {
            let mut matrix = HostMatrix::zeros(129, 65);
            (matrix.data[nan_at], matrix.data[infinity_at]) = (nan, infinity);
            let computed = subject.upload(&matrix)?.max_abs()?.read()?;
            let what =
                format_args!("max_abs with NaN at {nan_at}, {infinity} at {infinity_at} is {computed}");
            judge.require(computed.is_nan(), what)?;
        }
    }
    for (name, value) in NON_FINITE {
        let matrix = subject.upload(&HostMatrix::from_fn(3, 5, |_, _| value))?;
        let computed = matrix.max_abs()?.read()?;
        let holds = computed == value.abs() || (computed.is_nan() && value.is_nan());
        judge.require(holds, format_args!("max_abs of nothing but {name} is {computed}"))?;
    }
    judge.finish()
}

/// The same call on the same values gives the same bits.
///
/// Finds: sums whose order depends on threads, results that depend on what a temporary held.
pub fn repeated_calls_agree<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
    for (rows, cols) in [(129, 127), (7, 1025), (512, 65)] {
        let (x, y) = (
            subject.upload(&subject.random("x", rows, cols))?,
            subject.upload(&subject.random("y", rows, cols))?,
        );
        let (first, product) = (x.dot(&y)?.read()?, subject.unreadable(cols, cols));
        let mut first_product = product?;
        first_product.gemm(zero, one, &x, Op::Transposed, &y, Op::Plain)?;
        let first_product = subject.download(&first_product)?;
        for _ in 0..4 {
            let again = x.dot(&y)?.read()?;
            let holds = again.to_bits() == first.to_bits();
            judge.require(holds, format_args!("dot of {rows} x {cols} gives {first:e}, then {again:e}"))?;
            let mut product = subject.unreadable(cols, cols)?;
            product.gemm(zero, one, &x, Op::Transposed, &y, Op::Plain)?;
            let holds = same_bits(&subject.download(&product)?, &first_product);
            judge.require(holds, format_args!("gemm of {rows} x {cols} repeats its bits"))?;
        }
    }
    judge.finish()
}
