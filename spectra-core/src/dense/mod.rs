//! The portable backend: plain loops over a `Vec`. The readable specification of every operation, the
//! reference that the conformance suite trusts, and what runs without an operating system.

mod kernels;
mod stored;

use crate::backend::{
    Backend, Coef, Element, Error, Fused, Matrix, Op, Result, check_gemm, check_memory, check_same,
};
use crate::linalg::SixteenBits;
use alloc::{vec, vec::Vec};
use core::marker::PhantomData;
pub(crate) use stored::Stored;

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

/// A row-major matrix in a `Vec`, of the element type or of [16 bits](Backend::zeros_stored).
#[derive(Debug, Clone, PartialEq)]
pub struct DenseMatrix<E> {
    rows: usize,
    cols: usize,
    values: Stored<E>,
}

impl<E: Element> DenseMatrix<E> {
    /// A matrix that takes over row-major values.
    ///
    /// # Errors
    /// If `values.len() != rows * cols`.
    pub fn from_vec(rows: usize, cols: usize, values: Vec<E>) -> Result<Self> {
        check_len("from_vec", (rows, cols), values.len())?;
        Ok(Self { rows, cols, values: Stored::Full(values) })
    }

    /// A matrix whose entry `(i, j)` is `f(i, j)`.
    pub fn from_fn(rows: usize, cols: usize, mut f: impl FnMut(usize, usize) -> E) -> Self {
        let values = (0..rows * cols).map(|i| f(i / cols, i % cols)).collect();
        Self { rows, cols, values: Stored::Full(values) }
    }

    /// The row-major values; none of a matrix kept in 16 bits, whose values [`read`](Matrix::read) gives.
    pub fn values(&self) -> &[E] {
        match &self.values {
            Stored::Full(values) => values,
            Stored::Sixteen(..) => &[],
        }
    }

    /// The row-major values, to change; likewise.
    pub fn values_mut(&mut self) -> &mut [E] {
        match &mut self.values {
            Stored::Full(values) => values,
            Stored::Sixteen(..) => &mut [],
        }
    }

    /// The values as they are kept.
    #[cfg(feature = "faer")]
    pub(crate) fn stored(&self) -> &Stored<E> {
        &self.values
    }

    /// The values as they are kept, to change.
    #[cfg(feature = "faer")]
    pub(crate) fn stored_mut(&mut self) -> &mut Stored<E> {
        &mut self.values
    }
}

impl<E: Element> Backend for Dense<E> {
    type Element = E;
    type Scalar = f64;
    type Matrix = DenseMatrix<E>;

    fn zeros(&self, rows: usize, cols: usize, _: Option<&Self::Matrix>) -> Result<Self::Matrix> {
        let count = check_memory::<E>("zeros", rows, cols)?;
        Ok(DenseMatrix { rows, cols, values: Stored::Full(vec![E::zero(); count]) })
    }

    fn zeros_stored(
        &self,
        format: SixteenBits,
        (rows, cols): (usize, usize),
        _: Option<&Self::Matrix>,
    ) -> Result<Self::Matrix> {
        let count = check_memory::<u16>("zeros_stored", rows, cols)?;
        Ok(DenseMatrix { rows, cols, values: Stored::Sixteen(format, vec![0; count]) })
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
        out.iter_mut().zip(self.values.iter()).for_each(|(out, x)| *out = x);
        Ok(())
    }

    fn write(&mut self, values: &[E]) -> Result<()> {
        check_len("write", self.shape(), values.len())?;
        values.iter().enumerate().for_each(|(i, x)| self.values.set(i, *x));
        Ok(())
    }

    fn scale_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        check_same("scale_add", self, x)?;
        kernels::map(&mut self.values, beta, alpha, |i| x.values.get(i));
        Ok(())
    }

    fn product_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self, y: &Self) -> Result<()> {
        check_same("product_add", self, x)?;
        check_same("product_add", self, y)?;
        kernels::map(&mut self.values, beta, alpha, |i| x.values.get(i) * y.values.get(i));
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
        kernels::map(&mut self.values, beta, alpha, |i| x.values.get(i) / (y.values.get(i).sqrt() + eps));
        Ok(())
    }

    fn sign_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        check_same("sign_add", self, x)?;
        kernels::map(&mut self.values, beta, alpha, |i| kernels::sign(x.values.get(i)));
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
