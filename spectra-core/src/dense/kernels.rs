//! Plain loops over slices.

use crate::backend::{Coefficient, Element, Op};

/// `out = beta out + alpha f(x)`; `out` is not read when `beta` is zero on the host.
pub(super) fn map1<E: Element>(
    out: &mut [E],
    beta: Coefficient<'_, f64>,
    alpha: Coefficient<'_, f64>,
    x: &[E],
    f: impl Fn(E) -> E,
) {
    let alpha = E::narrow(alpha.value());
    if beta.is_zero() {
        out.iter_mut().zip(x).for_each(|(o, x)| *o = alpha * f(*x));
    } else {
        let beta = E::narrow(beta.value());
        out.iter_mut().zip(x).for_each(|(o, x)| *o = beta * *o + alpha * f(*x));
    }
}

/// `out = beta out + alpha f(x, y)`; `out` is not read when `beta` is zero on the host.
pub(super) fn map2<E: Element>(
    out: &mut [E],
    beta: Coefficient<'_, f64>,
    alpha: Coefficient<'_, f64>,
    x: &[E],
    y: &[E],
    f: impl Fn(E, E) -> E,
) {
    let alpha = E::narrow(alpha.value());
    let operands = x.iter().zip(y);
    if beta.is_zero() {
        out.iter_mut().zip(operands).for_each(|(o, (x, y))| *o = alpha * f(*x, *y));
    } else {
        let beta = E::narrow(beta.value());
        out.iter_mut().zip(operands).for_each(|(o, (x, y))| *o = beta * *o + alpha * f(*x, *y));
    }
}

/// -1, 0, 1 or NaN.
pub(super) fn sign<E: Element>(x: E) -> E {
    if x.is_zero() || x.is_nan() { x.abs() } else { x.signum() }
}

/// Sum of products in `f64`.
pub(super) fn dot<E: Element>(x: &[E], y: &[E]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x.widen() * y.widen()).sum()
}

/// The largest magnitude, NaN if there is one.
pub(super) fn max_abs<E: Element>(x: &[E]) -> f64 {
    let largest = x.iter().fold(E::zero(), |a, x| if x.is_nan() || x.abs() > a { x.abs() } else { a });
    largest.widen()
}

/// `op(A)` of a row-major slice.
#[derive(Clone, Copy)]
pub(super) struct View<'a, E> {
    values: &'a [E],
    row: usize,
    col: usize,
}

impl<'a, E: Element> View<'a, E> {
    /// `op(A)` for A with `cols` columns.
    pub(super) fn new(values: &'a [E], cols: usize, op: Op) -> Self {
        match op {
            Op::Plain => Self { values, row: cols, col: 1 },
            Op::Transposed => Self { values, row: 1, col: cols },
        }
    }

    fn at(&self, i: usize, j: usize) -> E {
        self.values[i * self.row + j * self.col]
    }
}

/// `out = beta out + alpha A B` with inner dimension `inner`; each entry accumulates in `f64`.
pub(super) fn gemm<E: Element>(
    cols: usize,
    inner: usize,
    out: &mut [E],
    beta: f64,
    alpha: f64,
    a: View<'_, E>,
    b: View<'_, E>,
) {
    if cols == 0 {
        return;
    }
    for (i, row) in out.chunks_exact_mut(cols).enumerate() {
        for (j, out) in row.iter_mut().enumerate() {
            let sum: f64 = (0..inner).map(|p| a.at(i, p).widen() * b.at(p, j).widen()).sum();
            let kept = if beta == 0.0 { 0.0 } else { beta * out.widen() };
            *out = E::narrow(kept + alpha * sum);
        }
    }
}
