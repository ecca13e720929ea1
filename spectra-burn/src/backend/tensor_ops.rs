//! Every operation by burn's tensor operations: what runs on a GPU.

use super::scalar::{BurnScalar, Factor, placed};
use burn::tensor::Tensor;
use spectra_core::backend::{Coefficient, Op};
use std::mem;

type Coef<'a> = Coefficient<'a, BurnScalar>;

/// `out = beta out + alpha x`; `out` is not read when `beta` is zero on the host.
pub(super) fn combine(out: &mut Tensor<2>, beta: Coef<'_>, alpha: Coef<'_>, x: Tensor<2>) {
    let x = times(x, alpha);
    // The old value leaves its place, so that burn may reuse its memory.
    let old = mem::replace(out, x.clone());
    if !beta.is_zero() {
        *out = times(old, beta) + x;
    }
}

fn times(x: Tensor<2>, coefficient: Coef<'_>) -> Tensor<2> {
    match Factor::of(coefficient) {
        Factor::Host(1.0) => x,
        Factor::Host(factor) => x.mul_scalar(factor),
        Factor::Device(factor) => {
            let factor = placed(*factor, &x.device(), x.dtype());
            x * factor
        }
    }
}

/// `x / (sqrt(y) + eps)`.
pub(super) fn quotient(x: Tensor<2>, y: Tensor<2>, eps: f64) -> Tensor<2> {
    x / y.sqrt().add_scalar(eps)
}

/// -1, 0, 1 or NaN (burn's own sign of NaN is 0).
pub(super) fn sign(x: Tensor<2>) -> Tensor<2> {
    x.clone().sign().mask_where(x.clone().is_nan(), x)
}

/// `op_a(A) op_b(B)`.
pub(super) fn product(a: Tensor<2>, op_a: Op, b: Tensor<2>, op_b: Op) -> Tensor<2> {
    let operand = |x: Tensor<2>, op| if op == Op::Transposed { x.transpose() } else { x };
    let (a, b) = (operand(a, op_a), operand(b, op_b));
    let ([rows, inner], [_, cols]) = (a.dims(), b.dims());
    if rows * inner * cols == 0 {
        return Tensor::zeros([rows, cols], (&a.device(), a.dtype()));
    }
    a.matmul(b)
}

/// `<x, y>`: sums of rows, then their sum, so that rounding grows with rows plus columns at most.
pub(super) fn dot(x: Tensor<2>, y: Tensor<2>) -> Tensor<1> {
    if x.shape().num_elements() == 0 {
        return zero(&x);
    }
    (x * y).sum_dim(1).sum()
}

/// The largest magnitude, NaN if there is one: a maximum may pass over NaN.
pub(super) fn max_abs(x: Tensor<2>) -> Tensor<1> {
    if x.shape().num_elements() == 0 {
        return zero(&x);
    }
    let any_nan = x.clone().contains_nan();
    let largest = x.abs().max();
    let nan = largest.full_like(f64::NAN);
    largest.mask_where(any_nan, nan)
}

fn zero(like: &Tensor<2>) -> Tensor<1> {
    Tensor::zeros([1], (&like.device(), like.dtype()))
}
