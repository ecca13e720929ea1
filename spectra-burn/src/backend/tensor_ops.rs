//! Every operation by burn's tensor operations: what runs on a GPU.
//!
//! Tensors have two dimensions, or three: the parts of a [stack](super::stack), each of which has what a tensor of two dimensions would have. A number
//! that is measured is a tensor of one element, or one for each part.

use super::counted::{Work, note};
use super::scalar::{BurnScalar, Factor, placed};
use burn::tensor::Tensor;
use spectra_core::backend::{Coefficient, Error, Op, Result};
use std::mem;

type Coef<'a> = Coefficient<'a, BurnScalar>;

/// `out = beta out + alpha x`; `out` is not read when `beta` is zero on the host.
pub(super) fn combine<const D: usize>(
    out: &mut Tensor<D>,
    beta: Coef<'_>,
    alpha: Coef<'_>,
    x: Tensor<D>,
) -> Result<()> {
    let (alpha, beta) = (Times::of(alpha, &x)?, Times::of(beta, &x)?);
    let x = alpha.run(x);
    // The old value leaves its place, so that burn may reuse its memory.
    let old = mem::replace(out, x.clone());
    if !beta.is_zero() {
        note(Work::Pass, 1);
        *out = beta.run(old) + x;
    }
    Ok(())
}

/// What a tensor is multiplied by.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for one operation; a box would be an allocation for each"
)]
enum Times<const D: usize> {
    Host(f64),
    /// One number, or one for each part, to broadcast.
    Device(Tensor<D>),
}

impl<const D: usize> Times<D> {
    /// The coefficient on the device and of the type of `x`, of which it has the parts.
    fn of(coefficient: Coef<'_>, x: &Tensor<D>) -> Result<Self> {
        let factor = match Factor::of(coefficient) {
            Factor::Host(factor) => return Ok(Self::Host(factor)),
            Factor::Device(factor) => placed(*factor, &x.device(), x.dtype()),
        };
        let mut dims = [1; D];
        dims[0] = factor.dims()[0];
        if dims[0] != 1 && (D != 3 || dims[0] != x.dims()[0]) {
            return Err(Error::device("coefficient", "of a stack, for a matrix that is none of its parts"));
        }
        Ok(Self::Device(factor.reshape(dims)))
    }

    fn is_zero(&self) -> bool {
        matches!(self, Self::Host(0.0))
    }

    fn run(self, x: Tensor<D>) -> Tensor<D> {
        if matches!(self, Self::Host(1.0)) {
            return x;
        }
        note(Work::Pass, 1);
        match self {
            Self::Host(factor) => x.mul_scalar(factor),
            Self::Device(factor) => x * factor,
        }
    }
}

/// `x o y`.
pub(super) fn multiply<const D: usize>(x: Tensor<D>, y: Tensor<D>) -> Tensor<D> {
    note(Work::Pass, 1);
    x * y
}

/// `x / (sqrt(y) + eps)`.
pub(super) fn quotient<const D: usize>(x: Tensor<D>, y: Tensor<D>, eps: f64) -> Tensor<D> {
    note(Work::Pass, 3);
    x / y.sqrt().add_scalar(eps)
}

/// -1, 0, 1 or NaN (burn's own sign of NaN is 0).
pub(super) fn sign<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    note(Work::Pass, 3);
    x.clone().sign().mask_where(x.clone().is_nan(), x)
}

/// `op_a(A) op_b(B)`.
pub(super) fn product<const D: usize>(a: Tensor<D>, op_a: Op, b: Tensor<D>, op_b: Op) -> Tensor<D> {
    let operand = |x: Tensor<D>, op| if op == Op::Transposed { x.transpose() } else { x };
    let (a, b) = (operand(a, op_a), operand(b, op_b));
    let (mut dims, others) = (a.dims(), b.dims());
    let inner = dims[D - 1];
    dims[D - 1] = others[D - 1];
    note(Work::Product, 1);
    if dims.iter().product::<usize>() * inner == 0 {
        return Tensor::zeros(dims, (&a.device(), a.dtype()));
    }
    a.matmul(b)
}

/// `<x, y>`: sums of rows, then their sum, so that rounding grows with rows plus columns at most.
pub(super) fn dot<const D: usize>(x: Tensor<D>, y: Tensor<D>) -> Tensor<1> {
    if x.shape().num_elements() == 0 {
        return zero(&x);
    }
    let parts = if D == 3 { x.dims()[0] } else { 1 };
    let rows = x.dims()[D - 2];
    note(Work::Pass, 3);
    // Burn sums along the last dimension in an order that loses less than along others.
    let sums = (x * y).sum_dim(D - 1).reshape([parts, rows]);
    sums.sum_dim(1).reshape([parts])
}

/// The sum of all squares of the parts.
pub(super) fn squares(x: Tensor<3>) -> Tensor<1> {
    note(Work::Pass, 1);
    dot(x.clone(), x).sum()
}

/// The largest magnitude, NaN if there is one: a maximum may pass over NaN.
pub(super) fn max_abs<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    if x.shape().num_elements() == 0 {
        return zero(&x);
    }
    note(Work::Pass, 8);
    let any_nan = x.clone().is_nan().any_dim(D - 1).any_dim(D - 2);
    let largest = x.abs().max_dim(D - 1).max_dim(D - 2);
    let nan = largest.full_like(f64::NAN);
    each(largest.mask_where(any_nan, nan))
}

/// The sums of the magnitudes of each column: zero where all entries are.
pub(super) fn column_sums<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    note(Work::Pass, 2);
    x.abs().sum_dim(D - 2)
}

/// `x`, but for the columns of which `sums` are zero those of `others`.
pub(super) fn replace_zero_columns<const D: usize>(
    x: Tensor<D>,
    sums: Tensor<D>,
    others: Tensor<D>,
) -> Tensor<D> {
    let dims = x.dims();
    // Burn takes an extent of zero for none at all.
    if dims.contains(&0) {
        return x;
    }
    note(Work::Pass, 2);
    x.mask_where(sums.equal_elem(0.0).expand(dims), others.expand(dims))
}

/// The number of each part.
fn each<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let parts = x.shape().num_elements();
    x.reshape([parts])
}

/// A zero for each part.
fn zero<const D: usize>(like: &Tensor<D>) -> Tensor<1> {
    let parts = if D == 3 { like.dims()[0] } else { 1 };
    Tensor::zeros([parts], (&like.device(), like.dtype()))
}
