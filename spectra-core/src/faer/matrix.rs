//! The backend and its matrices: shape checks, then the loops of the other files.

use super::low_rank::LowRank;
use super::scratch::Buffers;
use super::sweep::{self, Sweep, Update};
use super::{adam::Adam, elementwise, gemm, reduce};
use crate::backend::{
    Backend, Coef, Coefficient, Element, Gradient, Matrix, Op, Result, check_gemm, check_same, check_shape,
};
use crate::dense::{Dense, DenseMatrix};
use core::marker::PhantomData;

/// The elements of this backend: `f32` and `f64`.
pub trait FaerElement: Element + faer::traits::RealField {
    /// Working memory of this element type.
    #[doc(hidden)]
    fn buffers() -> &'static Buffers<Self>;
}

impl FaerElement for f32 {
    fn buffers() -> &'static Buffers<Self> {
        static BUFFERS: Buffers<f32> = Buffers::new();
        &BUFFERS
    }
}

impl FaerElement for f64 {
    fn buffers() -> &'static Buffers<Self> {
        static BUFFERS: Buffers<f64> = Buffers::new();
        &BUFFERS
    }
}

/// The fast CPU backend for `f32` or `f64`.
///
/// It uses rayon's pool: the global one, or the one inside whose `install` it is called. A single call from a
/// thread outside the pool is handed over to it; rayon allocates one block of 1.5 KiB for every 63 of those.
/// Inside the pool nothing is allocated.
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

    /// The row-major values.
    pub fn values(&self) -> &[E] {
        self.0.values()
    }

    /// The row-major values, to change.
    pub fn values_mut(&mut self) -> &mut [E] {
        self.0.values_mut()
    }

    /// `op(self)` as faer sees it.
    fn view(&self, op: Op) -> faer::MatRef<'_, E> {
        gemm::view(self.values(), self.shape(), op)
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

    fn scalar(&self, value: f64) -> Result<f64> {
        Ok(value)
    }
}

/// What faer is told: `None` if the output is not to be read.
fn beta_of<E: FaerElement>(beta: Coef<'_, FaerMatrix<E>>) -> Option<E> {
    if beta.is_zero() { None } else { Some(E::narrow(beta.value())) }
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
        check_same("scale_add", self, x)?;
        elementwise::map1(self.values_mut(), beta, alpha, x.values(), |x| x);
        Ok(())
    }

    fn product_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self, y: &Self) -> Result<()> {
        check_same("product_add", self, x)?;
        check_same("product_add", self, y)?;
        elementwise::map2(self.values_mut(), beta, alpha, x.values(), y.values(), |x, y| x * y);
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
        let quotient = move |x: E, y: E| x / (num_traits::Float::sqrt(y) + eps);
        elementwise::map2(self.values_mut(), beta, alpha, x.values(), y.values(), quotient);
        Ok(())
    }

    fn sign_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        check_same("sign_add", self, x)?;
        elementwise::map1(self.values_mut(), beta, alpha, x.values(), elementwise::sign);
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
        check_gemm(self.shape(), a.shape(), op_a, b.shape(), op_b)?;
        let alpha = E::narrow(alpha.value());
        gemm::gemm(self.values_mut(), beta_of(beta), alpha, a.view(op_a), b.view(op_b));
        Ok(())
    }

    fn dot(&self, x: &Self) -> Result<f64> {
        check_same("dot", self, x)?;
        Ok(reduce::dot(self.values(), x.values()))
    }

    fn max_abs(&self) -> Result<f64> {
        Ok(reduce::max_abs(self.values()))
    }

    fn gemm_symmetric(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        a: &Self,
        op_a: Op,
        b: &Self,
        op_b: Op,
    ) -> Result<()> {
        check_gemm(self.shape(), a.shape(), op_a, b.shape(), op_b)?;
        let (m, n) = self.shape();
        check_shape("gemm_symmetric", (m, m), (m, n))?;
        let alpha = E::narrow(alpha.value());
        gemm::gemm_symmetric(self.values_mut(), beta_of(beta), alpha, a.view(op_a), b.view(op_b));
        Ok(())
    }

    fn adam_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        first: &mut Self,
        second: &mut Self,
        gradient: &Gradient<'_, Self>,
        (b1, b2): (f64, f64),
        eps: f64,
    ) -> Result<()> {
        check_same("adam_add", self, first)?;
        check_same("adam_add", self, second)?;
        check_same("adam_add", self, gradient.values)?;
        let step = Adam {
            read: !beta.is_zero(),
            beta: E::narrow(beta.value()),
            alpha: E::narrow(alpha.value()),
            b1: E::narrow(b1),
            b2: E::narrow(b2),
            first: E::narrow(gradient.scale.times(1.0 - b1).value()),
            second: E::narrow(gradient.square.times(1.0 - b2).value()),
            eps: E::narrow(eps),
        };
        step.apply(self.values_mut(), first.values_mut(), second.values_mut(), gradient.values.values());
        Ok(())
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
        let ((m, n), (_, k)) = (self.shape(), v.shape());
        check_shape("power_sweep", (n, k), v.shape())?;
        check_shape("power_sweep", (m, k), p.shape())?;
        check_shape("power_sweep", (k, k), gram.shape())?;
        check_shape("power_sweep", (n, k), z.shape())?;
        if let Some((_, gradient)) = update {
            check_same("power_sweep", self, gradient.values)?;
        }
        let Some(parts) = sweep::parts((m, n), k) else {
            if let Some((mu, gradient)) = update {
                self.scale_add(mu.into(), gradient.scale, gradient.values)?;
            }
            let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
            p.gemm(zero, alpha.into(), self, Op::Plain, v, Op::Plain)?;
            gram.gemm_symmetric(zero, one, p, Op::Transposed, p, Op::Plain)?;
            z.gemm(zero, alpha.into(), self, Op::Transposed, p, Op::Plain)?;
            return self.dot(self);
        };
        let update = update.map(|(mu, gradient)| Update {
            mu: beta_of::<E>(mu.into()),
            scale: E::narrow(gradient.scale.value()),
            gradient: gradient.values.values(),
        });
        let sweep = Sweep { alpha: E::narrow(alpha), v: v.view(Op::Plain) };
        Ok(sweep.run(parts, self.values_mut(), update, p.values_mut(), gram.values_mut(), z.values_mut()))
    }

    fn low_rank_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        left: &Self,
        right: &Self,
    ) -> Result<()> {
        let ((m, n), (_, k)) = (self.shape(), left.shape());
        check_same("low_rank_add", self, x)?;
        check_shape("low_rank_add", (m, k), left.shape())?;
        check_shape("low_rank_add", (n, k), right.shape())?;
        let update =
            LowRank { beta: beta_of(beta), alpha: E::narrow(alpha.value()), right: right.view(Op::Plain) };
        update.add(self.values_mut(), x.values(), left.values());
        Ok(())
    }
}
