//! The operations of the portable backend, each of which a defect may take the place of.

use std::fmt::Debug;

use spectra_core::backend::{
    Backend, Coefficient, Element, Entrywise, Fused, Gradient, Matrix, Op, Result, ScalarOp,
};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::linalg::{Scratch, SixteenBits, SmallFactor, SmallInfo};

/// `alpha` or `beta` of the portable backend.
pub(crate) type Number<'a> = Coefficient<'a, f64>;

/// A defect: overrides one operation of the portable backend.
pub(crate) trait Bug<E: Element>: Debug + Sync {
    /// What is wrong, in words.
    fn defect(&self) -> &'static str;

    fn combine(&self, op: ScalarOp, a: f64, b: f64) -> f64 {
        op.on_host(a, b)
    }
    fn known(&self, value: f64) -> Option<f64> {
        Some(value)
    }
    fn zeros(&self, rows: usize, cols: usize) -> Result<DenseMatrix<E>> {
        Dense::new().zeros(rows, cols, None)
    }
    fn zeros_stored(&self, format: SixteenBits, shape: (usize, usize)) -> Result<DenseMatrix<E>> {
        Dense::new().zeros_stored(format, shape, None)
    }
    fn write(&self, out: &mut DenseMatrix<E>, values: &[E]) -> Result<()> {
        out.write(values)
    }
    fn read(&self, x: &DenseMatrix<E>, out: &mut [E]) -> Result<()> {
        x.read(out)
    }
    fn copy_from(&self, out: &mut DenseMatrix<E>, x: &DenseMatrix<E>) -> Result<()> {
        self.scale_add(out, Coefficient::ZERO, Coefficient::ONE, x)
    }
    /// A step in place of the one that is composed of the other operations.
    fn entrywise(
        &self,
        _: &mut [&mut DenseMatrix<E>],
        _: (f64, f64),
        _: Entrywise,
        _: &Gradient<'_, DenseMatrix<E>>,
    ) -> Option<Result<()>> {
        None
    }
    fn scale_add(
        &self,
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
    ) -> Result<()> {
        out.scale_add(beta, alpha, x)
    }
    fn product_add(
        &self,
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
        y: &DenseMatrix<E>,
    ) -> Result<()> {
        out.product_add(beta, alpha, x, y)
    }
    fn quotient_add(
        &self,
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
        y: &DenseMatrix<E>,
        eps: f64,
    ) -> Result<()> {
        out.quotient_add(beta, alpha, x, y, eps)
    }
    fn sign_add(
        &self,
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
    ) -> Result<()> {
        out.sign_add(beta, alpha, x)
    }
    fn gemm(
        &self,
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
    fn gemm_symmetric(
        &self,
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
    fn dot(&self, x: &DenseMatrix<E>, y: &DenseMatrix<E>) -> Result<f64> {
        x.dot(y)
    }
    fn max_abs(&self, x: &DenseMatrix<E>) -> Result<f64> {
        x.max_abs()
    }
    fn adam_add(
        &self,
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        first: &mut DenseMatrix<E>,
        second: &mut DenseMatrix<E>,
        gradient: &DenseMatrix<E>,
        betas: (f64, f64),
        eps: f64,
    ) -> Result<()> {
        out.adam_add(beta, alpha, first, second, gradient, betas, eps)
    }
    /// With what the squares of the gradient, formed without its factor, are multiplied.
    fn factor_of_squares(&self, _scale: f64) -> Option<f64> {
        None
    }
    /// The rule in whose place another is taken.
    fn entrywise_add(&self, rule: Entrywise) -> Entrywise {
        rule
    }
    fn power_sweep(
        &self,
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
    fn low_rank_add(
        &self,
        out: &mut DenseMatrix<E>,
        beta: Number<'_>,
        alpha: Number<'_>,
        x: &DenseMatrix<E>,
        left: &DenseMatrix<E>,
        right: &DenseMatrix<E>,
    ) -> Result<()> {
        out.low_rank_add(beta, alpha, x, left, right)
    }
    fn small_factor(
        &self,
        out: &mut DenseMatrix<E>,
        factor: SmallFactor,
        gram: &DenseMatrix<E>,
        scratch: &mut Scratch<E>,
    ) -> Result<Option<SmallInfo>> {
        out.small_factor(factor, gram, scratch)
    }
    fn gram_schmidt(&self, out: &mut DenseMatrix<E>, scratch: &mut Scratch<E>) -> Result<()> {
        out.gram_schmidt(scratch)
    }
    fn round_stochastic(
        &self,
        x: &mut DenseMatrix<E>,
        format: SixteenBits,
        seed: u64,
        scratch: &mut Scratch<E>,
    ) -> Result<()> {
        x.round_stochastic(format, seed, scratch)
    }
    fn seed_zero_columns(&self, out: &mut DenseMatrix<E>, seed: u64, scratch: &mut Scratch<E>) -> Result<()> {
        out.seed_zero_columns(seed, scratch)
    }
}
