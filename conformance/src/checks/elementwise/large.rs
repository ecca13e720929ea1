//! The operations entry by entry on [large matrices](LARGE) and on rows of every short length.

use spectra_core::backend::{Backend, Coef, Matrix, Result as CoreResult};

use super::{EPS, allowed, beside, sign};
use crate::HostMatrix;
use crate::distance::{same_bits, scalar_distance};
use crate::inputs::{LARGE, every_short_row};
use crate::suite::{Failure, Judge, Outcome, Subject, Weights};

/// [`scale_add`](super::scale_add()) on large matrices.
///
/// Finds: a last block, row or vector left out, rows or entries beyond what an index or a launch holds, a coefficient lost
/// in the code for large matrices.
pub fn scale_add_large<B: Backend>(subject: &Subject<B>) -> Outcome {
    let operation = Operation::<B::Matrix> {
        name: "scale_add",
        roundings: 2,
        f: |x, _| x,
        apply: |t, beta, alpha, x, _| t.scale_add(beta, alpha, x),
    };
    operation.on_all_shapes(subject)
}

/// [`product_add`](super::product_add()) on large matrices.
///
/// Finds: what [`scale_add_large`] finds.
pub fn product_add_large<B: Backend>(subject: &Subject<B>) -> Outcome {
    let operation = Operation::<B::Matrix> {
        name: "product_add",
        roundings: 3,
        f: |x, y| x * y,
        apply: |t, beta, alpha, x, y| t.product_add(beta, alpha, x, y),
    };
    operation.on_all_shapes(subject)
}

/// [`quotient_add`](super::quotient_add()) on large matrices.
///
/// Finds: what [`scale_add_large`] finds.
pub fn quotient_add_large<B: Backend>(subject: &Subject<B>) -> Outcome {
    let operation = Operation::<B::Matrix> {
        name: "quotient_add",
        roundings: 7,
        f: |x, y| x / (y.sqrt() + EPS),
        apply: |t, beta, alpha, x, y| t.quotient_add(beta, alpha, x, y, EPS),
    };
    operation.on_all_shapes(subject)
}

/// [`sign_add`](super::sign_add()) on large matrices.
///
/// Finds: what [`scale_add_large`] finds.
pub fn sign_add_large<B: Backend>(subject: &Subject<B>) -> Outcome {
    let operation = Operation::<B::Matrix> {
        name: "sign_add",
        roundings: 2,
        f: |x, _| sign(x),
        apply: |t, beta, alpha, x, _| t.sign_add(beta, alpha, x),
    };
    operation.on_all_shapes(subject)
}

/// [`copy_from`](super::copy_from()) on large matrices.
///
/// Finds: what [`scale_add_large`] finds.
pub fn copy_from_large<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for (rows, cols) in LARGE.into_iter().chain(every_short_row()) {
        judge.at(rows, cols);
        let values = subject.random("copied", rows, cols);
        let source = subject.upload(&values)?;
        let mut target = subject.unreadable(rows, cols)?;
        target.copy_from(&source)?;
        let holds = same_bits(&subject.download(&target)?, &values);
        judge.require(holds, format_args!("copy_from of {rows} x {cols} keeps every value"))?;
    }
    judge.finish()
}

/// `self = beta self + alpha f(X, Y)`, where an operation of one operand ignores Y.
struct Operation<M: Matrix> {
    name: &'static str,
    /// Of f, alpha and their product.
    roundings: usize,
    f: fn(f64, f64) -> f64,
    apply: Apply<M>,
}

type Apply<M> = fn(&mut M, Coef<'_, M>, Coef<'_, M>, &M, &M) -> CoreResult<()>;

impl<M: Matrix> Operation<M> {
    fn on_all_shapes<B: Backend<Element = M::Element, Scalar = M::Scalar, Matrix = M>>(
        &self,
        subject: &Subject<B>,
    ) -> Outcome {
        let mut judge = Judge::new();
        for shape in LARGE {
            // A million entries take their time.
            let weights =
                if shape.0 * shape.1 < 100_000 { Weights::all(subject)? } else { Weights::few(subject)? };
            self.on(&mut judge, subject, shape, &weights)?;
        }
        let weights = Weights::few(subject)?;
        for shape in every_short_row() {
            self.on(&mut judge, subject, shape, &weights)?;
        }
        judge.finish()
    }

    fn on<B: Backend<Element = M::Element, Scalar = M::Scalar, Matrix = M>>(
        &self,
        judge: &mut Judge,
        subject: &Subject<B>,
        (rows, cols): (usize, usize),
        weights: &[Weights<M::Scalar>],
    ) -> Result<(), Failure> {
        judge.at(rows, cols);
        let mut x = subject.random("X", rows, cols);
        x.data.iter_mut().step_by(5).for_each(|entry| *entry = -0.0);
        // Zeros and what eps dominates, beside ordinary variances.
        let mut y = subject.random("Y", rows, cols).map(|entry| entry * entry);
        y.data.iter_mut().step_by(7).for_each(|entry| *entry = 0.0);
        y.data.iter_mut().skip(1).step_by(7).for_each(|entry| *entry *= 1e-20);
        let y = y.rounded(subject.precision());
        let f = x.zip(&y, self.f);
        let old = beside(&f, subject);
        let (x, y) = (subject.upload(&x)?, subject.upload(&y)?);
        for weights in weights {
            let mut target = if weights.output_is_unread() {
                subject.unreadable(rows, cols)?
            } else {
                subject.upload(&old)?
            };
            (self.apply)(&mut target, weights.beta(), weights.alpha(), &x, &y)?;
            let error = distance(&subject.download(&target)?, &old, &f, weights);
            let what = format_args!("{} of {rows} x {cols}, {weights}", self.name);
            judge.compare(what, error, allowed(subject, self.roundings))?;
        }
        Ok(())
    }
}

/// The largest distance of an entry from `beta old + alpha f`, relative to the sum of both parts' absolute values.
fn distance<S>(computed: &HostMatrix, old: &HostMatrix, f: &HostMatrix, weights: &Weights<S>) -> f64 {
    if computed.shape() != f.shape() {
        return f64::INFINITY;
    }
    let (beta, alpha) = (weights.beta_value(), weights.alpha_value());
    let entries = computed.data.iter().zip(old.data.iter().zip(&f.data));
    entries.fold(0.0, |worst: f64, (&computed, (old, f))| {
        let (old, f) = (beta * old, alpha * f);
        worst.max(scalar_distance(computed, old + f, old.abs() + f.abs()))
    })
}
