//! Numbers that stay on the device.

use spectra_core::backend::{Backend, Scalar, ScalarOp};

use crate::distance::scalar_distance;
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::tolerance;

/// Short binary fractions and special values: every precision holds them exactly.
const VALUES: [f64; 12] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.75,
    -2.5,
    1024.0,
    6.103_515_625e-5,
    -3.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

const OPERATIONS: [ScalarOp; 7] = [
    ScalarOp::Add,
    ScalarOp::Sub,
    ScalarOp::Mul,
    ScalarOp::Div,
    ScalarOp::Min,
    ScalarOp::Max,
    ScalarOp::Less,
];

/// A host number comes back as it was, and `known` tells no other number than `read`.
///
/// Finds: a scalar that is rounded to less than the element type, a `known` that is stale or made up.
pub fn scalar_round_trip<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let extremes = [1e30, -1e-30, 1.0 / 3.0].map(|value| subject.precision().round(value));
    for value in VALUES.into_iter().chain(extremes) {
        let scalar = subject.scalar(value)?;
        judge.require(
            same(scalar.read()?, value),
            format_args!("scalar({value:e}) reads {:e}", scalar.read()?),
        )?;
        let known = scalar.known().is_none_or(|known| same(known, value));
        judge.require(known, format_args!("scalar({value:e}) knows {:?}", scalar.known()))?;
    }
    judge.finish()
}

/// Every operation on every pair of values is that of [`ScalarOp::on_host`].
///
/// Finds: exchanged operands, a minimum that drops a NaN, `Less` that is true for NaN, a guarded division.
pub fn scalar_combine<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for op in OPERATIONS {
        for (a, b) in VALUES.into_iter().flat_map(|a| VALUES.map(|b| (a, b))) {
            let result = B::Scalar::combine(op, &subject.scalar(a)?, &subject.scalar(b)?)?;
            compare(&mut judge, subject, &format!("{op:?} of {a} and {b}"), &result, op.on_host(a, b))?;
        }
    }
    judge.finish()
}

/// Square roots, NaN for negative numbers.
///
/// Finds: a missing root, the root of an absolute value.
pub fn scalar_sqrt<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for value in VALUES {
        let result = subject.scalar(value)?.sqrt()?;
        compare(&mut judge, subject, &format!("sqrt of {value}"), &result, value.sqrt())?;
    }
    judge.finish()
}

fn compare<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    what: &str,
    result: &B::Scalar,
    exact: f64,
) -> Result<(), Failure> {
    let value = result.read()?;
    if exact.is_finite() {
        let error = scalar_distance(value, exact, exact.abs());
        judge.compare(format_args!("{what}"), error, tolerance::elementwise(subject.precision(), 1))?;
    } else {
        judge.require(same(value, exact), format_args!("{what} is {exact}, not {value}"))?;
    }
    let known = result.known().is_none_or(|known| same(known, value));
    judge.require(known, format_args!("{what} reads {value}, but knows {:?}", result.known()))
}

fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}
