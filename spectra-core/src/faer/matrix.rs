//! The backend and its matrices, which own what `borrowed.rs` operates on.

use super::kernels::Kernels;
use super::{MatrixMut, MatrixRef, Values, ValuesMut};
use crate::backend::{Backend, Coef, Entrywise, Fused, Gradient, Matrix, Op, Result};
use crate::dense::{Dense, DenseMatrix, Stored};
use crate::linalg::{Scratch, SixteenBits, Workspace};
use core::marker::PhantomData;
use half::slice::HalfBitsSliceExt;

/// The elements of this backend: `f32` and `f64`.
pub trait FaerElement: Kernels {}

impl FaerElement for f32 {}
impl FaerElement for f64 {}

/// The fast CPU backend for `f32` or `f64`.
///
/// It uses rayon's pool: the global one, or the one inside whose `install` it is called. A single call from a
/// thread outside the pool is handed over to it; rayon allocates one block of 1.5 KiB for every 63 of those.
/// Inside the pool nothing is allocated. Working memory (for `A^T B` with an m x n matrix A and k columns about
/// k (m + n) numbers) belongs to the [`Workspace`] of the algorithm that runs and goes with it; that of single operations,
/// called without one, is kept until the process ends.
///
/// ```
/// use spectra_core::backend::{Coefficient, Matrix, Op};
/// use spectra_core::faer::FaerMatrix;
///
/// # fn main() -> spectra_core::backend::Result<()> {
/// let a = FaerMatrix::from_vec(2, 2, vec![1.0f32, 2.0, 3.0, 4.0])?;
/// let mut square = FaerMatrix::from_fn(2, 2, |_, _| f32::NAN);
/// square.gemm(Coefficient::ZERO, Coefficient::ONE, &a, Op::Plain, &a, Op::Transposed)?;
/// assert_eq!(square.values(), [5.0, 11.0, 11.0, 25.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Faer<E>(PhantomData<E>);

impl<E> Faer<E> {
    /// The backend.
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<E> Clone for Faer<E> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<E> Default for Faer<E> {
    fn default() -> Self {
        Self::new()
    }
}

/// A row-major matrix in a `Vec`: the storage of the portable backend with fast operations.
#[derive(Debug, Clone, PartialEq)]
pub struct FaerMatrix<E>(DenseMatrix<E>);

impl<E: FaerElement> FaerMatrix<E> {
    /// A matrix that takes over row-major values.
    ///
    /// # Errors
    /// If `values.len() != rows * cols`.
    pub fn from_vec(rows: usize, cols: usize, values: alloc::vec::Vec<E>) -> Result<Self> {
        DenseMatrix::from_vec(rows, cols, values).map(Self)
    }

    /// A matrix whose entry `(i, j)` is `f(i, j)`.
    pub fn from_fn(rows: usize, cols: usize, f: impl FnMut(usize, usize) -> E) -> Self {
        Self(DenseMatrix::from_fn(rows, cols, f))
    }

    /// The row-major values; none of a matrix kept in 16 bits.
    pub fn values(&self) -> &[E] {
        self.0.values()
    }

    /// The row-major values, to change; likewise.
    pub fn values_mut(&mut self) -> &mut [E] {
        self.0.values_mut()
    }

    /// The values where they are, to read.
    pub fn borrow(&self) -> MatrixRef<'_, E> {
        let values = match self.0.stored() {
            Stored::Full(values) => Values::Full(values),
            Stored::Sixteen(SixteenBits::Bf16, values) => Values::Bf16(values.reinterpret_cast()),
            Stored::Sixteen(SixteenBits::F16, values) => Values::F16(values.reinterpret_cast()),
        };
        MatrixRef { values, shape: self.0.shape() }
    }

    /// The values where they are, to change.
    pub fn borrow_mut(&mut self) -> MatrixMut<'_, E> {
        let shape = self.0.shape();
        let values = match self.0.stored_mut() {
            Stored::Full(values) => ValuesMut::Full(values),
            Stored::Sixteen(SixteenBits::Bf16, values) => ValuesMut::bf16(values.reinterpret_cast_mut()),
            Stored::Sixteen(SixteenBits::F16, values) => ValuesMut::f16(values.reinterpret_cast_mut()),
        };
        MatrixMut { values, shape }
    }
}

impl<E> From<DenseMatrix<E>> for FaerMatrix<E> {
    fn from(matrix: DenseMatrix<E>) -> Self {
        Self(matrix)
    }
}

impl<E> From<FaerMatrix<E>> for DenseMatrix<E> {
    fn from(matrix: FaerMatrix<E>) -> Self {
        matrix.0
    }
}

impl<E: FaerElement> Backend for Faer<E> {
    type Element = E;
    type Scalar = f64;
    type Matrix = FaerMatrix<E>;

    fn zeros(&self, rows: usize, cols: usize, _: Option<&Self::Matrix>) -> Result<Self::Matrix> {
        Dense::new().zeros(rows, cols, None).map(FaerMatrix)
    }

    fn zeros_stored(
        &self,
        format: SixteenBits,
        shape: (usize, usize),
        _: Option<&Self::Matrix>,
    ) -> Result<Self::Matrix> {
        Dense::new().zeros_stored(format, shape, None).map(FaerMatrix)
    }

    fn scalar(&self, value: f64) -> Result<f64> {
        Ok(value)
    }

    fn entrywise_add<const N: usize>(
        matrices: [&mut FaerMatrix<E>; N],
        weights: (f64, f64),
        rule: Entrywise,
        gradient: &Gradient<'_, FaerMatrix<E>>,
        _: &mut Workspace<Self>,
    ) -> Result<()> {
        let matrices = matrices.map(FaerMatrix::borrow_mut);
        MatrixMut::entrywise_add(matrices, weights, rule, gradient.values.borrow(), gradient.scale)
    }
}

impl<E: FaerElement> Matrix for FaerMatrix<E> {
    type Element = E;
    type Scalar = f64;

    fn shape(&self) -> (usize, usize) {
        self.0.shape()
    }

    fn read(&self, out: &mut [E]) -> Result<()> {
        self.0.read(out)
    }

    fn write(&mut self, values: &[E]) -> Result<()> {
        self.0.write(values)
    }

    fn scale_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        self.borrow_mut().scale_add(beta, alpha, x.borrow())
    }

    fn product_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self, y: &Self) -> Result<()> {
        self.borrow_mut().product_add(beta, alpha, x.borrow(), y.borrow())
    }

    fn quotient_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        y: &Self,
        eps: f64,
    ) -> Result<()> {
        self.borrow_mut().quotient_add(beta, alpha, x.borrow(), y.borrow(), eps)
    }

    fn sign_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        self.borrow_mut().sign_add(beta, alpha, x.borrow())
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
        self.borrow_mut().gemm(beta, alpha, (a.borrow(), op_a), (b.borrow(), op_b))
    }

    fn has_wide_dot(&self) -> bool {
        true
    }

    fn dot(&self, x: &Self) -> Result<f64> {
        self.borrow().dot(x.borrow())
    }

    fn max_abs(&self) -> Result<f64> {
        Ok(self.borrow().max_abs())
    }
}

impl<E: FaerElement> Fused for FaerMatrix<E> {
    fn gemm_symmetric(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        a: &Self,
        op_a: Op,
        b: &Self,
        op_b: Op,
    ) -> Result<()> {
        self.borrow_mut().gemm_symmetric(beta, alpha, (a.borrow(), op_a), (b.borrow(), op_b))
    }

    fn power_sweep(
        &mut self,
        update: Option<(f64, &Gradient<'_, Self>)>,
        alpha: f64,
        v: &Self,
        p: &mut Self,
        gram: &mut Self,
        z: &mut Self,
    ) -> Result<f64> {
        let update = update.map(|(mu, gradient)| (mu, gradient.values.borrow(), gradient.scale));
        let (mut p, mut gram, mut z) = (p.borrow_mut(), gram.borrow_mut(), z.borrow_mut());
        self.borrow_mut().power_sweep(update, alpha, v.borrow(), &mut p, &mut gram, &mut z)
    }

    fn low_rank_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        left: &Self,
        right: &Self,
    ) -> Result<()> {
        self.borrow_mut().low_rank_add(beta, alpha, x.borrow(), left.borrow(), right.borrow())
    }

    fn round_stochastic(&mut self, format: SixteenBits, seed: u64, _: &mut Scratch<E>) -> Result<()> {
        self.borrow_mut().round_stochastic(format, seed);
        Ok(())
    }
}
