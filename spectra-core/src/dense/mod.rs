//! The portable backend: plain loops over a `Vec`. The readable specification of every operation, the
//! reference that the conformance suite trusts, and what runs without an operating system.

mod kernels;

use crate::backend::{
    Backend, Coef, Element, Error, Fused, Matrix, Op, Result, check_gemm, check_memory, check_same,
};
use alloc::{vec, vec::Vec};
use core::marker::PhantomData;

/// The portable CPU backend for `f32` or `f64`.
#[derive(Debug)]
pub struct Dense<E>(PhantomData<E>);

impl<E> Dense<E> {
    /// The backend.
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<E> Clone for Dense<E> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<E> Default for Dense<E> {
    fn default() -> Self {
        Self::new()
    }
}

/// A row-major matrix in a `Vec`.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseMatrix<E> {
    rows: usize,
    cols: usize,
    values: Vec<E>,
}

impl<E: Element> DenseMatrix<E> {
    /// A matrix that takes over row-major values.
    ///
    /// # Errors
    /// If `values.len() != rows * cols`.
    pub fn from_vec(rows: usize, cols: usize, values: Vec<E>) -> Result<Self> {
        check_len("from_vec", (rows, cols), values.len())?;
        Ok(Self { rows, cols, values })
    }

    /// A matrix whose entry `(i, j)` is `f(i, j)`.
    pub fn from_fn(rows: usize, cols: usize, mut f: impl FnMut(usize, usize) -> E) -> Self {
        let values = (0..rows * cols).map(|i| f(i / cols, i % cols)).collect();
        Self { rows, cols, values }
    }

    /// The row-major values.
    pub fn values(&self) -> &[E] {
        &self.values
    }

    /// The row-major values, to change.
    pub fn values_mut(&mut self) -> &mut [E] {
        &mut self.values
    }
}

impl<E: Element> Backend for Dense<E> {
    type Element = E;
    type Scalar = f64;
    type Matrix = DenseMatrix<E>;

    fn zeros(&self, rows: usize, cols: usize, _: Option<&Self::Matrix>) -> Result<Self::Matrix> {
        let count = check_memory::<E>("zeros", rows, cols)?;
        Ok(DenseMatrix { rows, cols, values: vec![E::zero(); count] })
    }

    fn scalar(&self, value: f64) -> Result<f64> {
        Ok(value)
    }
}

impl<E: Element> Matrix for DenseMatrix<E> {
    type Element = E;
    type Scalar = f64;

    fn shape(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    fn read(&self, out: &mut [E]) -> Result<()> {
        check_len("read", self.shape(), out.len())?;
        out.copy_from_slice(&self.values);
        Ok(())
    }

    fn write(&mut self, values: &[E]) -> Result<()> {
        check_len("write", self.shape(), values.len())?;
        self.values.copy_from_slice(values);
        Ok(())
    }

    fn scale_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        check_same("scale_add", self, x)?;
        kernels::map1(&mut self.values, beta, alpha, &x.values, |x| x);
        Ok(())
    }

    fn product_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self, y: &Self) -> Result<()> {
        check_same("product_add", self, x)?;
        check_same("product_add", self, y)?;
        kernels::map2(&mut self.values, beta, alpha, &x.values, &y.values, |x, y| x * y);
        Ok(())
    }

    fn quotient_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        y: &Self,
        eps: f64,
    ) -> Result<()> {
        check_same("quotient_add", self, x)?;
        check_same("quotient_add", self, y)?;
        let eps = E::narrow(eps);
        kernels::map2(&mut self.values, beta, alpha, &x.values, &y.values, |x, y| x / (y.sqrt() + eps));
        Ok(())
    }

    fn sign_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        check_same("sign_add", self, x)?;
        kernels::map1(&mut self.values, beta, alpha, &x.values, kernels::sign);
        Ok(())
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
        let inner = check_gemm(self.shape(), a.shape(), op_a, b.shape(), op_b)?;
        let (a, b) =
            (kernels::View::new(&a.values, a.cols, op_a), kernels::View::new(&b.values, b.cols, op_b));
        kernels::gemm(self.cols, inner, &mut self.values, beta.value(), alpha.value(), a, b);
        Ok(())
    }

    fn has_wide_dot(&self) -> bool {
        true
    }

    fn dot(&self, x: &Self) -> Result<f64> {
        check_same("dot", self, x)?;
        Ok(kernels::dot(&self.values, &x.values))
    }

    fn max_abs(&self) -> Result<f64> {
        Ok(kernels::max_abs(&self.values))
    }
}

impl<E: Element> Fused for DenseMatrix<E> {}

fn check_len(operation: &'static str, shape: (usize, usize), len: usize) -> Result<()> {
    if shape.0.checked_mul(shape.1) == Some(len) {
        Ok(())
    } else {
        Err(Error::shape(operation, shape, (len.checked_div(shape.1).unwrap_or(0), shape.1)))
    }
}
