//! The portable backend with a hook at each operation.

use std::fmt::Debug;
use std::marker::PhantomData;

use spectra_core::backend::{Backend, Coef, Coefficient, Element, Gradient, Matrix, Op, Result};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::linalg::{Scratch, SmallFactor, SmallInfo};

/// `alpha` or `beta` of the portable backend.
pub(crate) type Number<'a> = Coefficient<'a, f64>;

/// A defect: overrides one or two operations of the portable backend.
pub(crate) trait Bug: Clone + Copy + Debug + 'static {
    /// What is wrong, in words.
    const DEFECT: &'static str;

    fn zeros<E: Element>(rows: usize, cols: usize) -> Result<DenseMatrix<E>> {
        Dense::new().zeros(rows, cols, None)
    }
    fn write<E: Element>(out: &mut DenseMatrix<E>, values: &[E]) -> Result<()> {
        out.write(values)
    }
    fn scale_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
    ) -> Result<()> {
        out.scale_add(beta, alpha, x)
    }
    fn product_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
        y: &DenseMatrix<E>,
    ) -> Result<()> {
        out.product_add(beta, alpha, x, y)
    }
    fn quotient_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
        y: &DenseMatrix<E>,
        eps: f64,
    ) -> Result<()> {
        out.quotient_add(beta, alpha, x, y, eps)
    }
    fn sign_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
    ) -> Result<()> {
        out.sign_add(beta, alpha, x)
    }
    fn gemm<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        a: &DenseMatrix<E>,
        op_a: Op,
        b: &DenseMatrix<E>,
        op_b: Op,
    ) -> Result<()> {
        out.gemm(beta, alpha, a, op_a, b, op_b)
    }
    fn gemm_symmetric<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        a: &DenseMatrix<E>,
        op_a: Op,
        b: &DenseMatrix<E>,
        op_b: Op,
    ) -> Result<()> {
        out.gemm_symmetric(beta, alpha, a, op_a, b, op_b)
    }
    fn dot<E: Element>(x: &DenseMatrix<E>, y: &DenseMatrix<E>) -> Result<f64> {
        x.dot(y)
    }
    fn max_abs<E: Element>(x: &DenseMatrix<E>) -> Result<f64> {
        x.max_abs()
    }
    fn adam_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        first: &mut DenseMatrix<E>,
        second: &mut DenseMatrix<E>,
        gradient: &Gradient<'_, DenseMatrix<E>>,
        betas: (f64, f64),
        eps: f64,
    ) -> Result<()> {
        out.adam_add(beta, alpha, first, second, gradient, betas, eps)
    }
    fn power_sweep<E: Element>(
        m: &mut DenseMatrix<E>,
        update: Option<(f64, &Gradient<'_, DenseMatrix<E>>)>,
        alpha: f64,
        v: &DenseMatrix<E>,
        p: &mut DenseMatrix<E>,
        gram: &mut DenseMatrix<E>,
        z: &mut DenseMatrix<E>,
    ) -> Result<f64> {
        m.power_sweep(update, alpha, v, p, gram, z)
    }
    fn low_rank_add<E: Element>(
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
        left: &DenseMatrix<E>,
        right: &DenseMatrix<E>,
    ) -> Result<()> {
        out.low_rank_add(beta, alpha, x, left, right)
    }
    fn small_factor<E: Element>(
        out: &mut DenseMatrix<E>,
        factor: SmallFactor,
        gram: &DenseMatrix<E>,
        scratch: &mut Scratch<E>,
    ) -> Result<Option<SmallInfo>> {
        out.small_factor(factor, gram, scratch)
    }
    fn gram_schmidt<E: Element>(out: &mut DenseMatrix<E>, scratch: &mut Scratch<E>) -> Result<()> {
        out.gram_schmidt(scratch)
    }
    fn seed_zero_columns<E: Element>(
        out: &mut DenseMatrix<E>,
        seed: u64,
        scratch: &mut Scratch<E>,
    ) -> Result<()> {
        out.seed_zero_columns(seed, scratch)
    }
}

/// The portable backend with the defect K.
#[derive(Clone, Debug)]
pub(crate) struct Broken<E, K>(PhantomData<(E, K)>);

impl<E, K> Broken<E, K> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

/// Its matrices.
#[derive(Clone, Debug)]
pub(crate) struct BrokenMatrix<E, K>(DenseMatrix<E>, PhantomData<K>);

impl<E: Element, K: Bug> Backend for Broken<E, K> {
    type Element = E;
    type Scalar = f64;
    type Matrix = BrokenMatrix<E, K>;

    fn zeros(&self, rows: usize, cols: usize, _: Option<&Self::Matrix>) -> Result<Self::Matrix> {
        K::zeros(rows, cols).map(|matrix| BrokenMatrix(matrix, PhantomData))
    }

    fn scalar(&self, value: f64) -> Result<f64> {
        Ok(value)
    }
}

fn inner<'a, E: Element, K: Bug>(
    gradient: &Gradient<'a, BrokenMatrix<E, K>>,
) -> Gradient<'a, DenseMatrix<E>> {
    Gradient { values: &gradient.values.0, scale: gradient.scale, square: gradient.square }
}

impl<E: Element, K: Bug> Matrix for BrokenMatrix<E, K> {
    type Element = E;
    type Scalar = f64;

    fn shape(&self) -> (usize, usize) {
        self.0.shape()
    }
    fn read(&self, out: &mut [E]) -> Result<()> {
        self.0.read(out)
    }
    fn write(&mut self, values: &[E]) -> Result<()> {
        K::write(&mut self.0, values)
    }
    fn scale_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        K::scale_add(&mut self.0, beta, alpha, &x.0)
    }
    fn product_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self, y: &Self) -> Result<()> {
        K::product_add(&mut self.0, beta, alpha, &x.0, &y.0)
    }
    fn quotient_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        y: &Self,
        eps: f64,
    ) -> Result<()> {
        K::quotient_add(&mut self.0, beta, alpha, &x.0, &y.0, eps)
    }
    fn sign_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        K::sign_add(&mut self.0, beta, alpha, &x.0)
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
        K::gemm(&mut self.0, beta, alpha, &a.0, op_a, &b.0, op_b)
    }
    fn dot(&self, x: &Self) -> Result<f64> {
        K::dot(&self.0, &x.0)
    }
    fn max_abs(&self) -> Result<f64> {
        K::max_abs(&self.0)
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
        K::gemm_symmetric(&mut self.0, beta, alpha, &a.0, op_a, &b.0, op_b)
    }
    fn adam_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        first: &mut Self,
        second: &mut Self,
        gradient: &Gradient<'_, Self>,
        betas: (f64, f64),
        eps: f64,
    ) -> Result<()> {
        K::adam_add(&mut self.0, beta, alpha, &mut first.0, &mut second.0, &inner(gradient), betas, eps)
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
        let gradient = update.map(|(_, gradient)| inner(gradient));
        let update = update.map(|(mu, _)| mu).zip(gradient.as_ref());
        K::power_sweep(&mut self.0, update, alpha, &v.0, &mut p.0, &mut gram.0, &mut z.0)
    }
    fn low_rank_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        left: &Self,
        right: &Self,
    ) -> Result<()> {
        K::low_rank_add(&mut self.0, beta, alpha, &x.0, &left.0, &right.0)
    }
    fn small_factor(
        &mut self,
        factor: SmallFactor,
        gram: &Self,
        scratch: &mut Scratch<E>,
    ) -> Result<Option<SmallInfo>> {
        K::small_factor(&mut self.0, factor, &gram.0, scratch)
    }
    fn gram_schmidt(&mut self, scratch: &mut Scratch<E>) -> Result<()> {
        K::gram_schmidt(&mut self.0, scratch)
    }
    fn seed_zero_columns(&mut self, seed: u64, scratch: &mut Scratch<E>) -> Result<()> {
        K::seed_zero_columns(&mut self.0, seed, scratch)
    }
}

/// `out = beta out + alpha f(index)`, as the portable backend does it.
pub(crate) fn accumulate<E: Element>(
    out: &mut DenseMatrix<E>,
    beta: Number<'_>,
    alpha: Number<'_>,
    f: impl Fn(usize) -> f64,
) {
    for (index, out) in out.values_mut().iter_mut().enumerate() {
        let old = if beta.is_zero() { 0.0 } else { beta.value() * out.widen() };
        *out = E::narrow(old + alpha.value() * f(index));
    }
}

/// Entry `(i, j)` of `op(a)`.
pub(crate) fn at<E: Element>(a: &DenseMatrix<E>, op: Op, i: usize, j: usize) -> E {
    let cols = a.shape().1;
    match op {
        Op::Plain => a.values()[i * cols + j],
        Op::Transposed => a.values()[j * cols + i],
    }
}
