//! Every operation by candle's tensor operations: what runs on CUDA and Metal. Each returns a fresh tensor that
//! shares memory with no operand.

use super::element::CandleElement;
use super::scalar::{CandleScalar, Factor, constant};
use candle_core::{D, Result, Tensor};
use spectra_core::backend::{Coefficient, Op};

type Coef<'a> = Coefficient<'a, CandleScalar>;

/// `beta out + alpha x`; `out` is not read when `beta` is zero on the host.
pub(super) fn combine(out: &Tensor, beta: Coef<'_>, alpha: Coef<'_>, x: &Tensor) -> Result<Tensor> {
    let x = times(x, alpha)?;
    if beta.is_zero() { Ok(x) } else { times(out, beta)?.add(&x) }
}

fn times(x: &Tensor, coefficient: Coef<'_>) -> Result<Tensor> {
    match Factor::of(coefficient)? {
        // `x * 1 + 0` would turn -0 into 0; and the result must not share x's memory.
        Factor::Host(1.0) => x.force_contiguous(),
        Factor::Host(factor) => x.affine(factor, 0.0),
        Factor::Device(factor) => x.broadcast_mul(&factor),
    }
}

/// `x / (sqrt(y) + eps)`.
pub(super) fn quotient(x: &Tensor, y: &Tensor, eps: f64) -> Result<Tensor> {
    x.div(&y.sqrt()?.affine(1.0, eps)?)
}

/// -1, 0, 1 or NaN (candle's own sign of NaN is 0).
pub(super) fn sign(x: &Tensor) -> Result<Tensor> {
    x.ne(x)?.where_cond(x, &x.sign()?)
}

/// `op_a(A) op_b(B)`.
pub(super) fn product(a: &Tensor, op_a: Op, b: &Tensor, op_b: Op) -> Result<Tensor> {
    operand(a, op_a)?.matmul(&operand(b, op_b)?)
}

fn operand(a: &Tensor, op: Op) -> Result<Tensor> {
    match op {
        Op::Plain => Ok(a.clone()),
        Op::Transposed => a.t(),
    }
}

/// `<x, y>`: sums of rows, then their sum, so that rounding grows with rows plus columns at most.
pub(super) fn dot(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    if x.elem_count() == 0 {
        return constant(0.0, x);
    }
    x.mul(y)?.sum(D::Minus1)?.sum_all()
}

/// The largest magnitude, NaN if there is one: candle's maximum passes over NaN.
pub(super) fn max_abs<E: CandleElement>(x: &Tensor) -> Result<Tensor> {
    if x.elem_count() == 0 {
        return constant(0.0, x);
    }
    let any_nan = x.ne(x)?.to_dtype(E::DTYPE)?.max_all()?;
    let zero = constant(0.0, x)?;
    any_nan.gt(&zero)?.where_cond(&constant(f64::NAN, x)?, &x.abs()?.max_all()?)
}
