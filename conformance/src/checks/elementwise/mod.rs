//! Operations entry by entry: `self = beta self + alpha f(operands)`.

mod large;

pub use large::{copy_from_large, product_add_large, quotient_add_large, scale_add_large, sign_add_large};

use spectra_core::backend::{Backend, Coef, Coefficient, Matrix, Result as CoreResult};

use crate::HostMatrix;
use crate::distance::{entrywise_distance, same_bits, same_non_finite};
use crate::inputs::{Family, Input};
use crate::suite::{Failure, Judge, Outcome, Subject, Weights};
use crate::tolerance;

const EPS: f64 = 1e-8;

/// `self = beta self + alpha X` on every input and with every kind of coefficient.
///
/// Finds: a coefficient ignored, exchanged or with the wrong sign, a device scalar left out, an output read where beta
/// is zero, a last row or column left out, arithmetic in another precision, also if only beyond some size.
pub fn scale_add<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in subject.ordinary_inputs() {
        judge.on(input);
        let x = subject.upload(&input.matrix)?;
        accumulate(&mut judge, subject, "scale_add", input, &input.matrix, 2, |target, beta, alpha| {
            target.scale_add(beta, alpha, &x)
        })?;
    }
    judge.finish()
}

/// `self = beta self + alpha X o Y`.
///
/// Finds: what [`scale_add`] finds, a sum in place of the product, one operand used twice.
pub fn product_add<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in subject.ordinary_inputs() {
        judge.on(input);
        let other = subject.random("factor", input.matrix.rows, input.matrix.cols);
        let (x, y) = (subject.upload(&input.matrix)?, subject.upload(&other)?);
        let product = input.matrix.zip(&other, |x, y| x * y);
        accumulate(&mut judge, subject, "product_add", input, &product, 3, |target, beta, alpha| {
            target.product_add(beta, alpha, &x, &y)
        })?;
    }
    judge.finish()
}

/// `self = beta self + alpha X / (sqrt(Y) + eps)`, with entries of Y that are zero and that eps dominates.
///
/// Finds: a missing root, another eps, eps inside the root, a multiplication in place of the division.
pub fn quotient_add<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let precision = subject.precision();
    // Divided by eps, entries of 1e30 would leave the range of single precision.
    for input in subject.ordinary_inputs().filter(|input| input.matrix.max_abs() < 1e20) {
        judge.on(input);
        let mut other =
            subject.random("variance", input.matrix.rows, input.matrix.cols).map(|entry| entry * entry);
        for (index, entry) in other.data.iter_mut().enumerate() {
            match index % 7 {
                0 => *entry = 0.0,
                1 => *entry *= 1e-20,
                _ => {}
            }
        }
        let other = other.rounded(precision);
        let (x, y) = (subject.upload(&input.matrix)?, subject.upload(&other)?);
        let quotient = input.matrix.zip(&other, |x, y| x / (y.sqrt() + EPS));
        accumulate(&mut judge, subject, "quotient_add", input, &quotient, 7, |target, beta, alpha| {
            target.quotient_add(beta, alpha, &x, &y, EPS)
        })?;
    }
    judge.finish()
}

/// `self = beta self + alpha sign(X)`, with 0 for both zeros.
///
/// Finds: the sign of zero taken as 1 or -1, the sign of the result instead of the operand.
pub fn sign_add<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in subject.ordinary_inputs() {
        judge.on(input);
        let mut operand = input.matrix.clone();
        for entry in operand.data.iter_mut().step_by(5) {
            *entry = -0.0;
        }
        let x = subject.upload(&operand)?;
        let signs = operand.map(sign);
        accumulate(&mut judge, subject, "sign_add", input, &signs, 2, |target, beta, alpha| {
            target.sign_add(beta, alpha, &x)
        })?;
    }
    judge.finish()
}

/// `copy_from` makes an exact copy, whatever was there before.
///
/// Finds: a copy that is an accumulation, that leaves part of the old values, or that changes bits.
pub fn copy_from<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in subject.ordinary_inputs() {
        judge.on(input);
        let source = subject.upload(&input.matrix)?;
        let mut target = subject.unreadable(input.matrix.rows, input.matrix.cols)?;
        target.copy_from(&source)?;
        let error = entrywise_distance(&subject.download(&target)?, &input.matrix, &input.matrix);
        judge.compare(format_args!("copy_from on {}", input.name), error, 0.0)?;
    }
    judge.finish()
}

/// NaN and infinities appear in the results where IEEE arithmetic puts them and nowhere else, and old ones do not
/// survive a beta of zero.
///
/// Finds: a maximum or a clamp that swallows NaN, sign(NaN) = 0, a NaN told by its sign, an output that is multiplied by a
/// beta of zero, an old NaN that is replaced where beta is not.
pub fn elementwise_non_finite<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let one = Coefficient::ONE;
    for input in subject.inputs().iter().filter(|input| input.family == Family::NonFinite) {
        let (rows, cols) = input.matrix.shape();
        let special = subject.upload(&input.matrix)?;
        let plain_values = subject.random("plain", rows, cols).map(|entry| entry.abs() + 1.0);
        let plain_values = plain_values.rounded(subject.precision());
        let plain = subject.upload(&plain_values)?;
        let as_operand = |f: &dyn Fn(f64, f64) -> f64| plain_values.zip(&input.matrix, f);

        let mut check = |what: &str, exact: HostMatrix, apply: &dyn Fn(&mut B::Matrix) -> CoreResult<()>| {
            let mut target = subject.upload(&plain_values)?;
            apply(&mut target)?;
            let holds = same_non_finite(&subject.download(&target)?, &exact);
            judge.require(holds, format_args!("{what}: {} propagates as IEEE says", input.name))
        };
        check("scale_add", as_operand(&|y, x| y + x), &|target| target.scale_add(one, one, &special))?;
        check("copy_from", as_operand(&|_, x| x), &|target| target.copy_from(&special))?;
        check("product_add", as_operand(&|y, x| y + x * y), &|t| t.product_add(one, one, &special, &plain))?;
        check("product_add, second operand", as_operand(&|y, x| y + y * x), &|target| {
            target.product_add(one, one, &plain, &special)
        })?;
        check("quotient_add", as_operand(&|y, x| y + x / (y.sqrt() + EPS)), &|target| {
            target.quotient_add(one, one, &special, &plain, EPS)
        })?;
        check("quotient_add, denominator", as_operand(&|y, x| y + y / (x.sqrt() + EPS)), &|target| {
            target.quotient_add(one, one, &plain, &special, EPS)
        })?;
        check("sign_add", as_operand(&|y, x| y + sign(x)), &|target| target.sign_add(one, one, &special))?;

        let half = subject.scalar(0.5)?;
        let betas =
            [("one", one), ("a half", 0.5.into()), ("a half on the device", Coefficient::device(1.0, &half))];
        for (operation, apply) in over_plain::<B>() {
            for (beta_is, beta) in betas {
                let mut old = subject.upload(&input.matrix)?;
                apply(&mut old, beta, &plain)?;
                // Finite numbers are added to it.
                let holds = same_non_finite(&subject.download(&old)?, &input.matrix);
                let what = format_args!("{operation}: {} in self survives a beta of {beta_is}", input.name);
                judge.require(holds, what)?;
            }
            let mut old = subject.upload(&input.matrix)?;
            apply(&mut old, Coefficient::ZERO, &plain)?;
            let holds = subject.download(&old)?.is_finite();
            let what = format_args!("{operation}: {} in self does not survive a beta of zero", input.name);
            judge.require(holds, what)?;
        }
    }
    // x, y, x / sqrt(y)
    let quotients = [
        (0.0, 0.0, f64::NAN),
        (1.0, 0.0, f64::INFINITY),
        (-1.0, 0.0, f64::NEG_INFINITY),
        (1.0, -4.0, f64::NAN),
        (3.0, f64::INFINITY, 0.0),
        (f64::INFINITY, 4.0, f64::INFINITY),
    ];
    for (x, y, exact) in quotients {
        let mut target = subject.unreadable(3, 2)?;
        let [x_values, y_values, exact] = [x, y, exact].map(|value| HostMatrix::from_fn(3, 2, |_, _| value));
        let (numerator, denominator) = (subject.upload(&x_values)?, subject.upload(&y_values)?);
        target.quotient_add(Coefficient::ZERO, one, &numerator, &denominator, 0.0)?;
        let holds = same_non_finite(&subject.download(&target)?, &exact);
        judge.require(holds, format_args!("quotient_add: {x} / sqrt({y}) is {}", exact.at(0, 0)))?;
    }
    judge.finish()
}

/// An operation on a matrix with operands that are all the same matrix.
type OverPlain<M> = fn(&mut M, Coef<'_, M>, &M) -> CoreResult<()>;

/// The accumulating operations, with finite positive operands.
fn over_plain<B: Backend>() -> [(&'static str, OverPlain<B::Matrix>); 4] {
    [
        ("scale_add", |t, beta, x| t.scale_add(beta, Coefficient::ONE, x)),
        ("product_add", |t, beta, x| t.product_add(beta, Coefficient::ONE, x, x)),
        ("quotient_add", |t, beta, x| t.quotient_add(beta, Coefficient::ONE, x, x, EPS)),
        ("sign_add", |t, beta, x| t.sign_add(beta, Coefficient::ONE, x)),
    ]
}

/// Both operands may be the same matrix.
///
/// Finds: an operand consumed or overwritten while it is read.
pub fn elementwise_same_operand<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in subject.ordinary_inputs().filter(|input| input.family == Family::Flat) {
        judge.on(input);
        let positive = input.matrix.map(|entry| entry.abs() + 0.5).rounded(subject.precision());
        let x = subject.upload(&positive)?;
        let square = positive.map(|entry| entry * entry);
        accumulate(
            &mut judge,
            subject,
            "product_add of X and X",
            input,
            &square,
            3,
            |target, beta, alpha| target.product_add(beta, alpha, &x, &x),
        )?;
        let quotient = positive.map(|entry| entry / (entry.sqrt() + EPS));
        accumulate(
            &mut judge,
            subject,
            "quotient_add of X and X",
            input,
            &quotient,
            7,
            |target, beta, alpha| target.quotient_add(beta, alpha, &x, &x, EPS),
        )?;
        let unchanged = same_bits(&subject.download(&x)?, &positive);
        judge.require(unchanged, format_args!("an operand used twice keeps its values"))?;
    }
    judge.finish()
}

/// Arithmetic may flush denormals to zero, but makes nothing else of them; transfers keep them, as
/// [`write_then_read`](super::storage::write_then_read) checks.
///
/// Finds: garbage, NaN or normal numbers in place of denormals.
pub fn denormals_exact_or_zero<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in subject.inputs().iter().filter(|input| input.family == Family::Denormal) {
        let x = subject.upload(&input.matrix)?;
        let mut copy = subject.unreadable(input.matrix.rows, input.matrix.cols)?;
        copy.copy_from(&x)?;
        let mut negated = subject.unreadable(input.matrix.rows, input.matrix.cols)?;
        negated.scale_add(Coefficient::ZERO, (-1.0).into(), &x)?;
        for (what, result, factor) in [("copy_from", copy, 1.0), ("scale_add", negated, -1.0)] {
            let result = subject.download(&result)?;
            let mut pairs = result.data.iter().zip(&input.matrix.data);
            let holds = pairs.all(|(&computed, &entry)| computed == factor * entry || computed == 0.0);
            judge.require(holds, format_args!("{what}: {} stays or becomes zero", input.name))?;
        }
    }
    judge.finish()
}

/// Holds `apply` against `beta old + alpha f` for every pair of coefficients; f took `roundings` roundings, alpha
/// and the sum included.
fn accumulate<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    operation: &str,
    input: &Input,
    f: &HostMatrix,
    roundings: usize,
    apply: impl Fn(&mut B::Matrix, Coef<'_, B::Matrix>, Coef<'_, B::Matrix>) -> CoreResult<()>,
) -> Result<(), Failure> {
    let old = beside(f, subject);
    for weights in Weights::all(subject)? {
        let mut target = if weights.output_is_unread() {
            subject.unreadable(f.rows, f.cols)?
        } else {
            subject.upload(&old)?
        };
        apply(&mut target, weights.beta(), weights.alpha())?;
        let (beta, alpha) = (weights.beta_value(), weights.alpha_value());
        let exact = old.zip(f, |old, f| beta * old + alpha * f);
        let scale = old.zip(f, |old, f| (beta * old).abs() + (alpha * f).abs());
        judge.compare(
            format_args!("{operation} on {}, {weights}", input.name),
            entrywise_distance(&subject.download(&target)?, &exact, &scale),
            allowed(subject, roundings),
        )?;
    }
    Ok(())
}

/// Old values, each of the size of its entry of f: neither side of a sum may hide the other.
fn beside<B: Backend>(f: &HostMatrix, subject: &Subject<B>) -> HostMatrix {
    let precision = subject.precision();
    // What would not leave normal numbers is held beside 1.
    let size = |f: f64| if f.abs() < precision.min_positive() * 1e3 { 1.0 } else { f.abs() };
    subject.random("old", f.rows, f.cols).zip(f, |old, f| old * size(f)).rounded(precision)
}

/// The sum with the old value is one rounding more than f and alpha took.
fn allowed<B: Backend>(subject: &Subject<B>, roundings: usize) -> f64 {
    let precision = subject.precision();
    tolerance::elementwise(precision, roundings + 1) + tolerance::coefficients(precision)
}

/// -1, 0, 1 or NaN; 0 for both zeros.
fn sign(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() { x.abs() } else { x.signum() }
}
