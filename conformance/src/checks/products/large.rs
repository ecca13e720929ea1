//! Products whose extents no tile or block divides: large ones, and every remainder modulo 32.

use spectra_core::backend::{Backend, Coef, Fused, Matrix, Op, Result as CoreResult};

use super::{OPS, commuting, symmetric, transposed_if};
use crate::HostMatrix;
use crate::distance::entrywise_distance;
use crate::inputs::{Product, every_remainder, large_products};
use crate::oracle::{product_bound, product_of_doubles};
use crate::suite::{Failure, Judge, Outcome, Subject, Weights};
use crate::tolerance;

/// Large products in all four combinations of transposition.
///
/// Finds: a last tile, a last split of the inner extent or rows beyond a launch left out, a lower precision of the sums from
/// some size on, a transposed operand whose tail is read as if it were not.
pub fn gemm_large<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let weights = Weights::few(subject)?;
    for shape in large_products() {
        for ops in OPS {
            multiply(&mut judge, subject, shape, ops, &weights)?;
        }
    }
    judge.finish()
}

/// Outputs of 64 x 64 and more with an inner extent of 1 024 and more, small products, and vectors: each extent with every
/// remainder modulo 32, in all four combinations of transposition.
///
/// Finds: what is left over when an extent is no multiple of 2, 4, 8, 16 or 32, left out or counted twice.
pub fn gemm_every_remainder<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let weights = Weights::few(subject)?;
    for (index, (shape, ops)) in remainders().into_iter().flat_map(|s| OPS.map(|ops| (s, ops))).enumerate() {
        multiply(&mut judge, subject, shape, ops, &weights[index % 3..][..1])?;
    }
    judge.finish()
}

/// Large ones, small ones of up to 130 inner terms, and one extent at a time.
fn remainders() -> Vec<Product> {
    let mut shapes: Vec<Product> = every_remainder((64, 1024, 64)).collect();
    for extent in 1..=130 {
        shapes.extend([(5, extent, 7), (extent, 5, 3), (3, 5, extent)]);
    }
    shapes
}

/// Large Gram matrices of both sides: more rows than a tile, long sums, more than 2^20 entries.
///
/// Finds: what [`gemm_large`] finds, in the code for one triangle; a mirror that leaves out the last tile.
pub fn gemm_symmetric_large<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let weights = Weights::few(subject)?;
    for (order, inner) in [(131, 1100), (300, 1100), (67, 5003), (1031, 67)] {
        for op in [Op::Plain, Op::Transposed] {
            gram(&mut judge, subject, (order, inner), op, &weights)?;
        }
    }
    judge.finish()
}

/// Gram matrices of both sides and products of two symmetric factors, both extents with every remainder modulo 32.
///
/// Finds: what [`gemm_every_remainder`] finds, in the code for one triangle.
pub fn gemm_symmetric_every_remainder<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let weights = Weights::few(subject)?;
    let large = every_remainder((64, 1024, 0)).map(|(order, inner, _)| (order, inner));
    let small = (1..=130).flat_map(|extent| [(7, extent), (extent.min(67), 5)]);
    for (index, shape) in large.chain(small).enumerate() {
        for op in [Op::Plain, Op::Transposed] {
            gram(&mut judge, subject, shape, op, &weights[index % 3..][..1])?;
        }
    }
    for order in 1..=67 {
        let (a, b) = commuting(subject, order);
        let (x, y) = (subject.upload(&a)?, subject.upload(&b)?);
        let what = format!("gemm_symmetric of two factors, {order} x {order}");
        let case = Case { what, a: &a, b: &b, symmetric: true };
        case.judge(&mut judge, subject, &weights[order % 3..][..1], |t, beta, alpha| {
            t.gemm_symmetric(beta, alpha, &x, Op::Plain, &y, Op::Plain)
        })?;
    }
    judge.finish()
}

fn multiply<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    (rows, inner, cols): Product,
    (op_a, op_b): (Op, Op),
    weights: &[Weights<B::Scalar>],
) -> Result<(), Failure> {
    judge.at(rows, inner);
    let (a, b) = (subject.random("large a", rows, inner), subject.random("large b", inner, cols));
    let (x, y) = (subject.upload(&transposed_if(&a, op_a))?, subject.upload(&transposed_if(&b, op_b))?);
    let what = format!("gemm of {rows} x {inner} x {cols}, {op_a:?}, {op_b:?}");
    let case = Case { what, a: &a, b: &b, symmetric: false };
    case.judge(judge, subject, weights, |t, beta, alpha| t.gemm(beta, alpha, &x, op_a, &y, op_b))
}

/// `op(X) op(X)^T`, order x order.
fn gram<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    (order, inner): (usize, usize),
    op: Op,
    weights: &[Weights<B::Scalar>],
) -> Result<(), Failure> {
    judge.at(order, inner);
    let a = subject.random("large factor", order, inner);
    let x = subject.upload(&transposed_if(&a, op))?;
    let other = if op == Op::Plain { Op::Transposed } else { Op::Plain };
    let what = format!("gemm_symmetric, {order} x {order}, inner extent {inner}, {op:?}");
    let case = Case { what, a: &a, b: &a.transposed(), symmetric: true };
    case.judge(judge, subject, weights, |t, beta, alpha| t.gemm_symmetric(beta, alpha, &x, op, &x, other))
}

/// A product of two factors, as they enter it.
struct Case<'a> {
    what: String,
    a: &'a HostMatrix,
    b: &'a HostMatrix,
    symmetric: bool,
}

impl Case<'_> {
    /// Holds every entry of `beta old + alpha a b` against the sum of doubles.
    fn judge<B: Backend>(
        &self,
        judge: &mut Judge,
        subject: &Subject<B>,
        weights: &[Weights<B::Scalar>],
        apply: impl Fn(&mut B::Matrix, Coef<'_, B::Matrix>, Coef<'_, B::Matrix>) -> CoreResult<()>,
    ) -> Result<(), Failure> {
        let precision = subject.precision();
        let (product, bound) = (product_of_doubles(self.a, self.b), product_bound(self.a, self.b));
        let (rows, cols) = product.shape();
        // Of the product's size: neither side of the sum may hide the other.
        let size = (self.a.cols as f64).sqrt();
        let mut old = subject.random("old", rows, cols).map(|entry| size * entry);
        if self.symmetric {
            old = symmetric(&old);
        }
        let old = old.rounded(precision);
        let allowed =
            tolerance::product_by_doubles(precision, self.a.cols) + tolerance::coefficients(precision);
        for weights in weights {
            let mut target = if weights.output_is_unread() {
                subject.unreadable(rows, cols)?
            } else {
                subject.upload(&old)?
            };
            apply(&mut target, weights.beta(), weights.alpha())?;
            let (beta, alpha) = (weights.beta_value(), weights.alpha_value());
            let exact = old.zip(&product, |old, product| beta * old + alpha * product);
            let scale = old.zip(&bound, |old, bound| (beta * old).abs() + alpha.abs() * bound);
            let error = entrywise_distance(&subject.download(&target)?, &exact, &scale);
            judge.compare(format_args!("{}, {weights}", self.what), error, allowed)?;
        }
        Ok(())
    }
}
