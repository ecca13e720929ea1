//! Matrix products: `self = beta self + alpha op_a(A) op_b(B)`.

mod large;
mod non_finite;

pub use large::{gemm_every_remainder, gemm_large, gemm_symmetric_every_remainder, gemm_symmetric_large};
pub use non_finite::{gemm_non_finite, gemm_symmetric_non_finite};

use spectra_core::backend::{Backend, Coef, Fused, Matrix, Op, Result as CoreResult};

use crate::HostMatrix;
use crate::distance::{relative_distance, same_bits};
use crate::inputs::Family;
use crate::oracle::{absolute_product, product};
use crate::suite::{Failure, Judge, Outcome, Subject, Weights};
use crate::tolerance;

const OPS: [(Op, Op); 4] = [
    (Op::Plain, Op::Plain),
    (Op::Transposed, Op::Plain),
    (Op::Plain, Op::Transposed),
    (Op::Transposed, Op::Transposed),
];

/// Columns of the second factor.
const WIDTH: usize = 5;

/// All four combinations of transposition, on every input and with every kind of coefficient.
///
/// Finds: a transposition ignored or applied to the wrong operand, extents exchanged, a remainder of a block left out,
/// a coefficient ignored, an output read where beta is zero, reduced precision of the products (TF32, bf16).
pub fn gemm<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in subject.ordinary_inputs() {
        judge.on(input);
        for (op_a, op_b) in OPS {
            let inner = op_a.shape(input.matrix.shape()).1;
            let (rows, cols) = op_b.shape((inner, WIDTH));
            let b = subject.random("second factor", rows, cols);
            multiply(&mut judge, subject, &input.name, (&input.matrix, op_a), (&b, op_b))?;
        }
    }
    judge.finish()
}

/// Inner dimensions and outputs of thousands.
///
/// Finds: accumulation in a lower precision beyond a threshold, a sum split over blocks whose last one is lost.
pub fn gemm_long_inner<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for (rows, inner, cols) in [(3, 5003, 4), (70, 4, 71), (129, 65, 127)] {
        judge.at(rows, inner);
        for (op_a, op_b) in OPS {
            let (a_shape, b_shape) = (op_a.shape((rows, inner)), op_b.shape((inner, cols)));
            let a = subject.random("long a", a_shape.0, a_shape.1);
            let b = subject.random("long b", b_shape.0, b_shape.1);
            let name = format!("{rows} x {inner} x {cols}");
            multiply(&mut judge, subject, &name, (&a, op_a), (&b, op_b))?;
        }
    }
    judge.finish()
}

/// A product over an empty inner dimension is zero: what remains is `beta self`.
///
/// Finds: an early return that leaves the output as it was, or an error.
pub fn gemm_empty_inner<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for (op_a, op_b) in OPS {
        let (a_shape, b_shape) = (op_a.shape((6, 0)), op_b.shape((0, 9)));
        let (a, b) = (HostMatrix::zeros(a_shape.0, a_shape.1), HostMatrix::zeros(b_shape.0, b_shape.1));
        multiply(&mut judge, subject, "an empty inner dimension", (&a, op_a), (&b, op_b))?;
    }
    judge.finish()
}

/// Both factors may be the same matrix.
///
/// Finds: an operand consumed or packed over, a transposition applied to both.
pub fn gemm_same_operand<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in subject.ordinary_inputs().filter(|input| input.family == Family::Flat) {
        judge.on(input);
        let x = subject.upload(&input.matrix)?;
        let square = input.matrix.rows == input.matrix.cols;
        for (op_a, op_b) in OPS.into_iter().filter(|(op_a, op_b)| square || op_a != op_b) {
            let (a, b) = (transposed_if(&input.matrix, op_a), transposed_if(&input.matrix, op_b));
            accumulate(
                &mut judge,
                subject,
                &format!("gemm of {} with itself, {op_a:?}, {op_b:?}", input.name),
                (&a, &b),
                |_| {},
                |target, beta, alpha| target.gemm(beta, alpha, &x, op_a, &x, op_b),
            )?;
        }
        let unchanged = same_bits(&subject.download(&x)?, &input.matrix);
        judge.require(unchanged, format_args!("a factor used twice keeps its values"))?;
    }
    judge.finish()
}

/// The symmetric product: Gram matrices of both sides, with a symmetric output.
///
/// Finds: one triangle left out or mirrored the wrong way, old values added to one triangle only.
pub fn gemm_symmetric<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in subject.ordinary_inputs().filter(|input| input.family != Family::Extreme) {
        judge.on(input);
        let x = subject.upload(&input.matrix)?;
        for (op_a, op_b) in [(Op::Transposed, Op::Plain), (Op::Plain, Op::Transposed)] {
            let (a, b) = (transposed_if(&input.matrix, op_a), transposed_if(&input.matrix, op_b));
            accumulate(
                &mut judge,
                subject,
                &format!("gemm_symmetric of {}, {op_a:?}", input.name),
                (&a, &b),
                |old| *old = symmetric(old),
                |target, beta, alpha| target.gemm_symmetric(beta, alpha, &x, op_a, &x, op_b),
            )?;
        }
    }
    judge.finish()
}

/// Two factors that are not the same, of which the caller knows that they commute: A and 2 A + 3 I.
///
/// Finds: the first factor used twice, a transposition of the wrong one.
pub fn gemm_symmetric_operands<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for order in [1, 9, 33, 65, 131] {
        judge.at(order, order);
        let (a, b) = commuting(subject, order);
        let (x, y) = (subject.upload(&a)?, subject.upload(&b)?);
        for (op_a, op_b) in OPS {
            accumulate(
                &mut judge,
                subject,
                &format!("gemm_symmetric of two factors, {order} x {order}, {op_a:?}, {op_b:?}"),
                (&a, &b),
                |old| *old = symmetric(old),
                |target, beta, alpha| target.gemm_symmetric(beta, alpha, &x, op_a, &y, op_b),
            )?;
        }
    }
    judge.finish()
}

/// A symmetric A and 2 A + 3 I, both exact in every precision.
fn commuting<B: Backend>(subject: &Subject<B>, order: usize) -> (HostMatrix, HostMatrix) {
    let a =
        symmetric(&subject.random("commuting", order, order)).map(|entry| (entry * 1024.0).round() / 1024.0);
    let b = a.zip(&HostMatrix::identity(order), |a, identity| 2.0 * a + 3.0 * identity);
    (a, b)
}

/// `(A + A^T) / 2`
fn symmetric(a: &HostMatrix) -> HostMatrix {
    a.zip(&a.transposed(), |x, y| (x + y) / 2.0)
}

/// The factor as it enters the product.
fn transposed_if(matrix: &HostMatrix, op: Op) -> HostMatrix {
    match op {
        Op::Plain => matrix.clone(),
        Op::Transposed => matrix.transposed(),
    }
}

fn multiply<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    name: &str,
    (a, op_a): (&HostMatrix, Op),
    (b, op_b): (&HostMatrix, Op),
) -> Result<(), Failure> {
    let (x, y) = (subject.upload(a)?, subject.upload(b)?);
    accumulate(
        judge,
        subject,
        &format!("gemm of {name}, {op_a:?}, {op_b:?}"),
        (&transposed_if(a, op_a), &transposed_if(b, op_b)),
        |_| {},
        |target, beta, alpha| target.gemm(beta, alpha, &x, op_a, &y, op_b),
    )
}

/// Holds `apply` against `beta old + alpha a b` for every pair of coefficients; `shape_old` may change the old values.
fn accumulate<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    what: &str,
    (a, b): (&HostMatrix, &HostMatrix),
    shape_old: impl Fn(&mut HostMatrix),
    apply: impl Fn(&mut B::Matrix, Coef<'_, B::Matrix>, Coef<'_, B::Matrix>) -> CoreResult<()>,
) -> Result<(), Failure> {
    let exact_product = product(a, b);
    let (rows, cols) = exact_product.shape();
    let product_scale = absolute_product(a, b).frobenius_norm();
    let size = Some(exact_product.max_abs()).filter(|size| *size > 0.0).unwrap_or(1.0);
    let mut old = subject.random("old", rows, cols).map(|entry| entry * size);
    shape_old(&mut old);
    let old = old.rounded(subject.precision());
    for weights in Weights::all(subject)? {
        let mut target = if weights.output_is_unread() {
            subject.unreadable(rows, cols)?
        } else {
            subject.upload(&old)?
        };
        apply(&mut target, weights.beta(), weights.alpha())?;
        let (beta, alpha) = (weights.beta_value(), weights.alpha_value());
        let exact = old.zip(&exact_product, |old, product| beta * old + alpha * product);
        let scale = beta.abs() * old.frobenius_norm() + alpha.abs() * product_scale;
        judge.compare(
            format_args!("{what}, {weights}"),
            relative_distance(&subject.download(&target)?, &exact, scale),
            tolerance::product(subject.precision(), a.cols) + tolerance::coefficients(subject.precision()),
        )?;
    }
    Ok(())
}
