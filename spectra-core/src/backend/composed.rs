//! The fused operations of [`Matrix`], composed of the required ones: the trait's defaults, for a backend to call where it
//! has nothing faster (in some of its memory, for some of its types).

use super::matrix::{Coef, Matrix, Op, check_same, check_shape};
use super::{Coefficient, Gradient, Result};

/// [`Matrix::adam_add`] on `out`.
///
/// # Errors
/// Shapes.
pub fn adam_add<M: Matrix>(
    out: &mut M,
    beta: Coef<'_, M>,
    alpha: Coef<'_, M>,
    first: &mut M,
    second: &mut M,
    gradient: &Gradient<'_, M>,
    (b1, b2): (f64, f64),
    eps: f64,
) -> Result<()> {
    check_same("adam_add", out, first)?;
    check_same("adam_add", out, second)?;
    check_same("adam_add", out, gradient.values)?;
    first.scale_add(b1.into(), gradient.scale.times(1.0 - b1), gradient.values)?;
    let square = gradient.square.times(1.0 - b2);
    second.product_add(b2.into(), square, gradient.values, gradient.values)?;
    out.quotient_add(beta, alpha, first, second, eps)
}

/// [`Matrix::power_sweep`] on `matrix`.
///
/// # Errors
/// Shapes.
pub fn power_sweep<M: Matrix>(
    matrix: &mut M,
    update: Option<(f64, &Gradient<'_, M>)>,
    alpha: f64,
    v: &M,
    p: &mut M,
    gram: &mut M,
    z: &mut M,
) -> Result<M::Scalar> {
    let ((m, n), k) = (matrix.shape(), v.shape().1);
    check_shape("power_sweep", (n, k), v.shape())?;
    check_shape("power_sweep", (m, k), p.shape())?;
    check_shape("power_sweep", (k, k), gram.shape())?;
    check_shape("power_sweep", (n, k), z.shape())?;
    if let Some((mu, gradient)) = update {
        matrix.scale_add(mu.into(), gradient.scale, gradient.values)?;
    }
    p.gemm(Coefficient::ZERO, alpha.into(), matrix, Op::Plain, v, Op::Plain)?;
    gram.gemm_symmetric(Coefficient::ZERO, Coefficient::ONE, p, Op::Transposed, p, Op::Plain)?;
    z.gemm(Coefficient::ZERO, alpha.into(), matrix, Op::Transposed, p, Op::Plain)?;
    matrix.dot(matrix)
}

/// [`Matrix::low_rank_add`] on `out`.
///
/// # Errors
/// Shapes.
pub fn low_rank_add<M: Matrix>(
    out: &mut M,
    beta: Coef<'_, M>,
    alpha: Coef<'_, M>,
    x: &M,
    left: &M,
    right: &M,
) -> Result<()> {
    let ((m, n), k) = (out.shape(), left.shape().1);
    check_shape("low_rank_add", (m, k), left.shape())?;
    check_shape("low_rank_add", (n, k), right.shape())?;
    out.scale_add(beta, alpha, x)?;
    out.gemm(Coefficient::ONE, alpha.times(-1.0), left, Op::Plain, right, Op::Transposed)
}
