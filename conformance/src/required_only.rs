//! A backend stripped of its overrides.

use spectra_core::backend::{Backend, Coef, Fused, Matrix, Op, Result};
use spectra_core::linalg::SixteenBits;

/// The backend B with every provided method of its matrices in the default form.
///
/// Where a backend overrides a provided method, its result is held against the default's on the same device.
#[derive(Clone, Debug)]
pub struct RequiredOnly<B>(pub B);

/// A matrix of [`RequiredOnly`].
#[derive(Clone, Debug)]
pub struct RequiredOnlyMatrix<M>(pub M);

impl<B: Backend> Backend for RequiredOnly<B> {
    type Element = B::Element;
    type Scalar = B::Scalar;
    type Matrix = RequiredOnlyMatrix<B::Matrix>;

    fn zeros(&self, rows: usize, cols: usize, rows_like: Option<&Self::Matrix>) -> Result<Self::Matrix> {
        self.0.zeros(rows, cols, rows_like.map(|matrix| &matrix.0)).map(RequiredOnlyMatrix)
    }

    fn zeros_stored(
        &self,
        format: SixteenBits,
        shape: (usize, usize),
        rows_like: Option<&Self::Matrix>,
    ) -> Result<Self::Matrix> {
        self.0.zeros_stored(format, shape, rows_like.map(|matrix| &matrix.0)).map(RequiredOnlyMatrix)
    }

    fn product_epsilon(&self) -> f64 {
        self.0.product_epsilon()
    }

    fn scalar(&self, value: f64) -> Result<Self::Scalar> {
        self.0.scalar(value)
    }
}

impl<M: Matrix> Matrix for RequiredOnlyMatrix<M> {
    type Element = M::Element;
    type Scalar = M::Scalar;

    fn shape(&self) -> (usize, usize) {
        self.0.shape()
    }

    fn layout(&self) -> usize {
        self.0.layout()
    }

    fn read(&self, out: &mut [Self::Element]) -> Result<()> {
        self.0.read(out)
    }

    fn write(&mut self, values: &[Self::Element]) -> Result<()> {
        self.0.write(values)
    }

    fn scale_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        self.0.scale_add(beta, alpha, &x.0)
    }

    fn product_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self, y: &Self) -> Result<()> {
        self.0.product_add(beta, alpha, &x.0, &y.0)
    }

    fn quotient_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        y: &Self,
        eps: f64,
    ) -> Result<()> {
        self.0.quotient_add(beta, alpha, &x.0, &y.0, eps)
    }

    fn sign_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        self.0.sign_add(beta, alpha, &x.0)
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
        self.0.gemm(beta, alpha, &a.0, op_a, &b.0, op_b)
    }

    fn has_wide_dot(&self) -> bool {
        self.0.has_wide_dot()
    }

    fn dot(&self, x: &Self) -> Result<Self::Scalar> {
        self.0.dot(&x.0)
    }

    fn max_abs(&self) -> Result<Self::Scalar> {
        self.0.max_abs()
    }
}

impl<M: Matrix> Fused for RequiredOnlyMatrix<M> {}
