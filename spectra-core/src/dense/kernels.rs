//! Plain loops over values.

use super::stored::Stored;
use crate::backend::{Coefficient, Element, Op};

/// `out = beta out + alpha f(i)` for every entry i; `out` is not read when `beta` is zero on the host.
pub(super) fn map<E: Element>(
    out: &mut Stored<E>,
    beta: Coefficient<'_, f64>,
    alpha: Coefficient<'_, f64>,
    f: impl Fn(usize) -> E,
) {
    let alpha = E::narrow(alpha.value());
    if beta.is_zero() {
        (0..out.len()).for_each(|i| out.set(i, alpha * f(i)));
    } else {
        let beta = E::narrow(beta.value());
        (0..out.len()).for_each(|i| out.set(i, beta * out.get(i) + alpha * f(i)));
    }
}

/// -1, 0, 1 or NaN.
pub(super) fn sign<E: Element>(x: E) -> E {
    if x.is_zero() || x.is_nan() { x.abs() } else { x.signum() }
}

/// Sum of products in `f64`.
pub(super) fn dot<E: Element>(x: &Stored<E>, y: &Stored<E>) -> f64 {
    x.iter().zip(y.iter()).map(|(x, y)| x.widen() * y.widen()).sum()
}

/// The largest magnitude, NaN if there is one.
pub(super) fn max_abs<E: Element>(x: &Stored<E>) -> f64 {
    let largest = x.iter().fold(E::zero(), |a, x| if x.is_nan() || x.abs() > a { x.abs() } else { a });
    largest.widen()
}

/// `op(A)` of row-major values.
#[derive(Clone, Copy)]
pub(super) struct View<'a, E> {
    values: &'a Stored<E>,
    row: usize,
    col: usize,
}

impl<'a, E: Element> View<'a, E> {
    /// `op(A)` for A with `cols` columns.
    pub(super) fn new(values: &'a Stored<E>, cols: usize, op: Op) -> Self {
        match op {
            Op::Plain => Self { values, row: cols, col: 1 },
            Op::Transposed => Self { values, row: 1, col: cols },
        }
    }

    fn at(&self, i: usize, j: usize) -> E {
        self.values.get(i * self.row + j * self.col)
    }
}

/// `out = beta out + alpha A B` with inner dimension `inner`; each entry accumulates in `f64`.
pub(super) fn gemm<E: Element>(
    cols: usize,
    inner: usize,
    out: &mut Stored<E>,
    beta: f64,
    alpha: f64,
    a: View<'_, E>,
    b: View<'_, E>,
) {
    for at in 0..out.len() {
        let (i, j) = (at / cols, at % cols);
        let sum: f64 = (0..inner).map(|p| a.at(i, p).widen() * b.at(p, j).widen()).sum();
        let kept = if beta == 0.0 { 0.0 } else { beta * out.get(at).widen() };
        out.set(at, E::narrow(kept + alpha * sum));
    }
}
