//! The faer backend with a clock on every call, by kind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use spectra_core::backend::{Backend, Coef, Entrywise, Fused, Gradient, Matrix, Op, Result};
use spectra_core::faer::{Faer, FaerElement, FaerMatrix, MatrixMut};
use spectra_core::linalg::{Scratch, SixteenBits, SmallFactor, SmallInfo, Workspace};

/// What a call spends its time on.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Products of whole matrices.
    Products,
    /// What reads a matrix once and multiplies it by few columns: the power iteration and its weight update.
    Sweeps,
    /// Factors of small matrices, orthonormal columns.
    Factors,
    /// Entry by entry, and sums over entries.
    Entrywise,
}

/// The kinds' names, and what is left of a step.
pub(super) const KINDS: [&str; 5] = ["products", "sweeps", "factors", "entrywise", "rest"];

/// Nanoseconds of the calls since the last look.
#[derive(Debug, Default)]
pub(super) struct Clock([AtomicU64; 4]);

impl Clock {
    fn time<T>(&self, kind: Kind, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.0[kind as usize].fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        result
    }

    /// Seconds of each kind, which begin anew.
    pub(super) fn take(&self) -> [f64; 4] {
        std::array::from_fn(|kind| self.0[kind].swap(0, Ordering::Relaxed) as f64 * 1e-9)
    }
}

/// The backend.
#[derive(Clone, Debug)]
pub(super) struct Timed<E> {
    inner: Faer<E>,
    pub(super) clock: Arc<Clock>,
}

impl<E: FaerElement> Timed<E> {
    pub(super) fn new() -> Self {
        Self { inner: Faer::new(), clock: Arc::default() }
    }

    pub(super) fn matrix(&self, values: FaerMatrix<E>) -> TimedMatrix<E> {
        TimedMatrix { inner: values, clock: self.clock.clone() }
    }
}

/// A matrix of it.
#[derive(Clone, Debug)]
pub(super) struct TimedMatrix<E> {
    inner: FaerMatrix<E>,
    clock: Arc<Clock>,
}

impl<E: FaerElement> TimedMatrix<E> {
    /// `work` on the values.
    fn time<T>(&mut self, kind: Kind, work: impl FnOnce(&mut FaerMatrix<E>) -> T) -> T {
        self.clock.time(kind, || work(&mut self.inner))
    }
}

impl<E: FaerElement> Backend for Timed<E> {
    type Element = E;
    type Scalar = f64;
    type Matrix = TimedMatrix<E>;

    fn zeros(&self, rows: usize, cols: usize, _: Option<&Self::Matrix>) -> Result<Self::Matrix> {
        self.inner.zeros(rows, cols, None).map(|values| self.matrix(values))
    }

    fn zeros_stored(
        &self,
        format: SixteenBits,
        shape: (usize, usize),
        _: Option<&Self::Matrix>,
    ) -> Result<Self::Matrix> {
        self.inner.zeros_stored(format, shape, None).map(|values| self.matrix(values))
    }

    fn scalar(&self, value: f64) -> Result<f64> {
        Ok(value)
    }

    fn entrywise_add<const N: usize>(
        matrices: [&mut Self::Matrix; N],
        weights: (f64, f64),
        rule: Entrywise,
        gradient: &Gradient<'_, Self::Matrix>,
        _: &mut Workspace<Self>,
    ) -> Result<()> {
        let clock = gradient.values.clock.clone();
        let matrices = matrices.map(|matrix| matrix.inner.borrow_mut());
        let gradient = (gradient.values.inner.borrow(), gradient.scale);
        clock.time(Kind::Entrywise, || {
            MatrixMut::entrywise_add(matrices, weights, rule, gradient.0, gradient.1)
        })
    }
}

impl<E: FaerElement> Matrix for TimedMatrix<E> {
    type Element = E;
    type Scalar = f64;

    fn shape(&self) -> (usize, usize) {
        self.inner.shape()
    }
    fn read(&self, out: &mut [E]) -> Result<()> {
        self.inner.read(out)
    }
    fn write(&mut self, values: &[E]) -> Result<()> {
        self.inner.write(values)
    }
    fn scale_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        self.time(Kind::Entrywise, |out| out.scale_add(beta, alpha, &x.inner))
    }
    fn product_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self, y: &Self) -> Result<()> {
        self.time(Kind::Entrywise, |out| out.product_add(beta, alpha, &x.inner, &y.inner))
    }
    fn quotient_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        y: &Self,
        eps: f64,
    ) -> Result<()> {
        self.time(Kind::Entrywise, |out| out.quotient_add(beta, alpha, &x.inner, &y.inner, eps))
    }
    fn sign_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        self.time(Kind::Entrywise, |out| out.sign_add(beta, alpha, &x.inner))
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
        self.time(Kind::Products, |out| out.gemm(beta, alpha, &a.inner, op_a, &b.inner, op_b))
    }
    fn has_wide_dot(&self) -> bool {
        self.inner.has_wide_dot()
    }
    fn dot(&self, x: &Self) -> Result<f64> {
        self.clock.time(Kind::Entrywise, || self.inner.dot(&x.inner))
    }
    fn max_abs(&self) -> Result<f64> {
        self.clock.time(Kind::Entrywise, || self.inner.max_abs())
    }
}

impl<E: FaerElement> Fused for TimedMatrix<E> {
    fn gemm_symmetric(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        a: &Self,
        op_a: Op,
        b: &Self,
        op_b: Op,
    ) -> Result<()> {
        self.time(Kind::Products, |out| out.gemm_symmetric(beta, alpha, &a.inner, op_a, &b.inner, op_b))
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
        let gradient =
            update.map(|(_, gradient)| Gradient { values: &gradient.values.inner, scale: gradient.scale });
        let update = update.map(|(mu, _)| mu).zip(gradient.as_ref());
        let (p, gram, z) = (&mut p.inner, &mut gram.inner, &mut z.inner);
        self.time(Kind::Sweeps, |matrix| matrix.power_sweep(update, alpha, &v.inner, p, gram, z))
    }
    fn low_rank_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        left: &Self,
        right: &Self,
    ) -> Result<()> {
        let (left, right) = (&left.inner, &right.inner);
        self.time(Kind::Sweeps, |out| out.low_rank_add(beta, alpha, &x.inner, left, right))
    }
    fn small_factor(
        &mut self,
        factor: SmallFactor,
        gram: &Self,
        scratch: &mut Scratch<E>,
    ) -> Result<Option<SmallInfo>> {
        self.time(Kind::Factors, |out| out.small_factor(factor, &gram.inner, scratch))
    }
    fn gram_schmidt(&mut self, scratch: &mut Scratch<E>) -> Result<()> {
        self.time(Kind::Factors, |out| out.gram_schmidt(scratch))
    }
    fn seed_zero_columns(&mut self, seed: u64, scratch: &mut Scratch<E>) -> Result<()> {
        self.time(Kind::Factors, |out| out.seed_zero_columns(seed, scratch))
    }
    fn round_stochastic(&mut self, format: SixteenBits, seed: u64, scratch: &mut Scratch<E>) -> Result<()> {
        self.time(Kind::Entrywise, |out| out.round_stochastic(format, seed, scratch))
    }
}
