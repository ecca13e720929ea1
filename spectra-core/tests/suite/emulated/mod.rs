//! A backend whose matrices are rounded to nearest in a narrower format after each operation, as a GPU stores what it has accumulated in
//! `f32`; and matrices with singular values that are given.
#![allow(dead_code, reason = "each user takes what it needs")]

use spectra_core::backend::{Backend, Coef, Element, Fused, Matrix, Op, Result};
use spectra_core::dense::DenseMatrix;
use spectra_core::linalg::SixteenBits;
use std::cell::Cell;

thread_local! {
    /// Flops of all products of this thread, a symmetric one counted half.
    static FLOPS: Cell<f64> = const { Cell::new(0.0) };
}

/// Those since the last call.
pub(crate) fn flops() -> f64 {
    FLOPS.replace(0.0)
}

fn count(a: (usize, usize), op_a: Op, b: (usize, usize), op_b: Op, factor: f64) {
    let ((m, l), (_, n)) = (op_a.shape(a), op_b.shape(b));
    FLOPS.set(FLOPS.get() + factor * (m * n) as f64 * l as f64);
}

/// Of `f32` matrices of this backend; `None` is the backend itself.
#[derive(Debug, Clone)]
pub(crate) struct Rounded<B>(pub(crate) B, pub(crate) Option<SixteenBits>);

#[derive(Debug)]
pub(crate) struct RoundedMatrix<M>(M, Option<SixteenBits>);

/// The nearest number of the format, ties to even; beyond its largest an infinity.
pub(crate) fn nearest(format: SixteenBits, x: f64) -> f64 {
    let (precision, smallest, largest) = format.form();
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    let unit = f64::from((x.abs().log2().floor() as i32).max(smallest) - precision).exp2();
    let rounded = (x / unit).round_ties_even() * unit;
    if rounded.abs() > largest { f64::INFINITY.copysign(x) } else { rounded }
}

impl<M: Matrix> RoundedMatrix<M> {
    fn after(&mut self, operation: impl FnOnce(&mut M) -> Result<()>) -> Result<()> {
        operation(&mut self.0)?;
        let Some(format) = self.1 else { return Ok(()) };
        let mut values = vec![M::Element::narrow(0.0); self.0.shape().0 * self.0.shape().1];
        self.0.read(&mut values)?;
        values.iter_mut().for_each(|x| *x = M::Element::narrow(nearest(format, x.widen())));
        self.0.write(&values)
    }
}

impl<M: Matrix> Matrix for RoundedMatrix<M> {
    type Element = M::Element;
    type Scalar = M::Scalar;

    fn shape(&self) -> (usize, usize) {
        self.0.shape()
    }
    fn read(&self, out: &mut [M::Element]) -> Result<()> {
        self.0.read(out)
    }
    fn write(&mut self, values: &[M::Element]) -> Result<()> {
        self.after(|x| x.write(values))
    }
    fn scale_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        self.after(|this| this.scale_add(beta, alpha, &x.0))
    }
    fn product_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self, y: &Self) -> Result<()> {
        self.after(|this| this.product_add(beta, alpha, &x.0, &y.0))
    }
    fn quotient_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        y: &Self,
        eps: f64,
    ) -> Result<()> {
        self.after(|this| this.quotient_add(beta, alpha, &x.0, &y.0, eps))
    }
    fn sign_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        self.after(|this| this.sign_add(beta, alpha, &x.0))
    }
    fn gemm(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        a: &Self,
        op_a: Op,
        b: &Self,
        op_b: Op,
    ) -> Result<()> {
        count(a.shape(), op_a, b.shape(), op_b, 2.0);
        self.after(|this| this.gemm(beta, alpha, &a.0, op_a, &b.0, op_b))
    }
    fn dot(&self, x: &Self) -> Result<M::Scalar> {
        self.0.dot(&x.0)
    }
    fn max_abs(&self) -> Result<M::Scalar> {
        self.0.max_abs()
    }
}

impl<M: Fused> Fused for RoundedMatrix<M> {
    fn gemm_symmetric(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        a: &Self,
        op_a: Op,
        b: &Self,
        op_b: Op,
    ) -> Result<()> {
        count(a.shape(), op_a, b.shape(), op_b, 1.0);
        self.after(|this| this.gemm_symmetric(beta, alpha, &a.0, op_a, &b.0, op_b))
    }
}

impl<B: Backend> Backend for Rounded<B> {
    type Element = B::Element;
    type Scalar = B::Scalar;
    type Matrix = RoundedMatrix<B::Matrix>;

    fn zeros(&self, rows: usize, cols: usize, like: Option<&Self::Matrix>) -> Result<Self::Matrix> {
        Ok(RoundedMatrix(self.0.zeros(rows, cols, like.map(|like| &like.0))?, self.1))
    }
    fn scalar(&self, value: f64) -> Result<B::Scalar> {
        self.0.scalar(value)
    }
    fn product_epsilon(&self) -> f64 {
        self.1.map_or(self.0.product_epsilon(), |format| f64::from(-format.form().0).exp2())
    }
}

/// Sylvester's Hadamard matrix of this order, a power of two, divided by its root: orthogonal.
pub(crate) fn hadamard(order: usize, i: usize, j: usize) -> f64 {
    let sign = if (i & j).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
    sign / (order as f64).sqrt()
}

/// `U diag(sigma) V^T`, r x n, U and V the first columns of Hadamard's matrices, those of V in reverse.
pub(crate) fn with_values(sigma: &[f64], n: usize) -> DenseMatrix<f64> {
    let r = sigma.len();
    DenseMatrix::from_fn(r, n, |i, j| {
        (0..r).map(|k| hadamard(r, i, k) * sigma[k] * hadamard(n, n - 1 - j, k)).sum()
    })
}

/// `U^T X V` of such a matrix, whose diagonal a spectral map has changed.
pub(crate) fn in_its_basis(x: &[f64], r: usize, n: usize) -> DenseMatrix<f64> {
    let left =
        DenseMatrix::from_fn(r, n, |k, j| (0..r).map(|i| hadamard(r, i, k) * x[i * n + j]).sum::<f64>());
    DenseMatrix::from_fn(r, r, |k, l| {
        (0..n).map(|j| left.values()[k * n + j] * hadamard(n, n - 1 - j, l)).sum::<f64>()
    })
}
