//! The portable backend, of which one call fails: as a device does that has no memory left, or a driver.

use spectra_core::backend::{Backend, Coef, Error, Fused, Matrix, Op, Result};
use spectra_core::dense::{Dense, DenseMatrix};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// When calls fail.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Calls until the one that fails; 0: none does.
    left: AtomicUsize,
    /// The call fails after it has done its work.
    late: std::sync::atomic::AtomicBool,
}

impl Calls {
    /// The call number `n`, from 1, fails, before or after its work is done; 0: none.
    pub(super) fn fail_at(&self, n: usize, late: bool) {
        self.left.store(n, Ordering::SeqCst);
        self.late.store(late, Ordering::SeqCst);
    }

    /// Does `work`, or fails.
    fn call<T>(&self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let last = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, last) == Ok(1) {
            if self.late.load(Ordering::SeqCst) {
                work()?;
            }
            return Err(Error::device(name, "this call fails"));
        }
        work()
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Failing(pub(super) Arc<Calls>);

#[derive(Debug, Clone)]
pub(super) struct FailingMatrix(pub(super) DenseMatrix<f64>, Arc<Calls>);

impl Failing {
    pub(super) fn matrix(&self, values: DenseMatrix<f64>) -> FailingMatrix {
        FailingMatrix(values, self.0.clone())
    }
}

impl Backend for Failing {
    type Element = f64;
    type Scalar = f64;
    type Matrix = FailingMatrix;

    fn zeros(&self, rows: usize, cols: usize, _: Option<&FailingMatrix>) -> Result<FailingMatrix> {
        self.0.call("zeros", || Ok(self.matrix(Dense::new().zeros(rows, cols, None)?)))
    }

    fn scalar(&self, value: f64) -> Result<f64> {
        self.0.call("scalar", || Ok(value))
    }
}

impl Matrix for FailingMatrix {
    type Element = f64;
    type Scalar = f64;

    fn shape(&self) -> (usize, usize) {
        self.0.shape()
    }
    fn read(&self, out: &mut [f64]) -> Result<()> {
        self.1.call("read", || self.0.read(out))
    }
    fn write(&mut self, values: &[f64]) -> Result<()> {
        self.1.call("write", || self.0.write(values))
    }
    fn scale_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        self.1.call("scale_add", || self.0.scale_add(beta, alpha, &x.0))
    }
    fn product_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self, y: &Self) -> Result<()> {
        self.1.call("product_add", || self.0.product_add(beta, alpha, &x.0, &y.0))
    }
    fn quotient_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        y: &Self,
        eps: f64,
    ) -> Result<()> {
        self.1.call("quotient_add", || self.0.quotient_add(beta, alpha, &x.0, &y.0, eps))
    }
    fn sign_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        self.1.call("sign_add", || self.0.sign_add(beta, alpha, &x.0))
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
        self.1.call("gemm", || self.0.gemm(beta, alpha, &a.0, op_a, &b.0, op_b))
    }
    fn dot(&self, x: &Self) -> Result<f64> {
        self.1.call("dot", || self.0.dot(&x.0))
    }
    fn max_abs(&self) -> Result<f64> {
        self.1.call("max_abs", || self.0.max_abs())
    }
}

impl Fused for FailingMatrix {}
