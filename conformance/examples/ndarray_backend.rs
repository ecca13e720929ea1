//! A complete backend over `ndarray`: two methods of the device, ten of the matrices, and the suite.
//!
//! `cargo run --release -p spectra-conformance --example ndarray_backend` checks it; IMPLEMENTING.md walks through it.

use std::marker::PhantomData;
use std::process::ExitCode;

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, Zip};
use spectra_conformance::suite::{self, Report, Subject};
use spectra_core::backend::{
    Backend, Coef, Element, Error, Fused, Matrix, Op, Result, check_gemm, check_memory, check_same,
    check_shape,
};

/// The device: the host's memory, with arithmetic in `E`.
#[derive(Clone, Debug)]
pub(crate) struct NdArray<E>(PhantomData<E>);

/// A matrix on it.
#[derive(Clone, Debug)]
pub(crate) struct NdMatrix<E>(Array2<E>);

impl<E> NdArray<E> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<E: Element> Backend for NdArray<E> {
    type Element = E;
    type Scalar = f64;
    type Matrix = NdMatrix<E>;

    fn zeros(&self, rows: usize, cols: usize, _: Option<&NdMatrix<E>>) -> Result<NdMatrix<E>> {
        // `ndarray` panics where this is an error.
        check_memory::<E>("zeros", rows, cols)?;
        Ok(NdMatrix(Array2::zeros((rows, cols))))
    }

    fn scalar(&self, value: f64) -> Result<f64> {
        Ok(value)
    }
}

impl<E: Element> NdMatrix<E> {
    /// `self = beta self + alpha f(X, Y)`, entry by entry: all four elementwise operations.
    fn map(
        &mut self,
        operation: &'static str,
        (beta, alpha): (Coef<'_, Self>, Coef<'_, Self>),
        x: &Self,
        y: &Self,
        f: impl Fn(E, E) -> E,
    ) -> Result<()> {
        check_same(operation, self, x)?;
        check_same(operation, self, y)?;
        // A beta of zero promises that the old values are not read: a NaN among them must not survive.
        let unread = beta.is_zero();
        let (beta, alpha) = (E::narrow(beta.value()), E::narrow(alpha.value()));
        Zip::from(&mut self.0).and(&x.0).and(&y.0).for_each(|out, &x, &y| {
            let new = alpha * f(x, y);
            *out = if unread { new } else { beta * *out + new };
        });
        Ok(())
    }

    fn check_len(&self, operation: &'static str, len: usize) -> Result<()> {
        if self.0.len() == len { Ok(()) } else { Err(Error::shape(operation, (1, self.0.len()), (1, len))) }
    }

    fn view(&self, op: Op) -> ArrayView2<'_, E> {
        match op {
            Op::Plain => self.0.view(),
            Op::Transposed => self.0.t(),
        }
    }
}

impl<E: Element> Matrix for NdMatrix<E> {
    type Element = E;
    type Scalar = f64;

    fn shape(&self) -> (usize, usize) {
        self.0.dim()
    }

    fn read(&self, out: &mut [E]) -> Result<()> {
        self.check_len("read", out.len())?;
        out.iter_mut().zip(&self.0).for_each(|(out, entry)| *out = *entry);
        Ok(())
    }

    fn write(&mut self, values: &[E]) -> Result<()> {
        self.check_len("write", values.len())?;
        self.0.iter_mut().zip(values).for_each(|(entry, value)| *entry = *value);
        Ok(())
    }

    fn scale_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        self.map("scale_add", (beta, alpha), x, x, |x, _| x)
    }

    fn product_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self, y: &Self) -> Result<()> {
        self.map("product_add", (beta, alpha), x, y, |x, y| x * y)
    }

    fn quotient_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        y: &Self,
        eps: f64,
    ) -> Result<()> {
        let eps = E::narrow(eps);
        self.map("quotient_add", (beta, alpha), x, y, |x, y| x / (y.sqrt() + eps))
    }

    fn sign_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        // `signum` is 1 at 0 and -1 at -0; the sign of a zero is 0 here.
        let sign = |x: E| if x.is_zero() { E::zero() } else { x.signum() };
        self.map("sign_add", (beta, alpha), x, x, |x, _| sign(x))
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
        let (beta, alpha) = (E::narrow(beta.value()), E::narrow(alpha.value()));
        general_mat_mul(alpha, &a.view(op_a), &b.view(op_b), beta, &mut self.0);
        Ok(())
    }

    fn dot(&self, x: &Self) -> Result<f64> {
        check_shape("dot", self.shape(), x.shape())?;
        // f32 has to be summed in f64.
        Ok(self.0.iter().zip(&x.0).map(|(x, y)| x.widen() * y.widen()).sum())
    }

    fn max_abs(&self) -> Result<f64> {
        // `f64::max` would drop a NaN.
        let larger = |a: f64, b: f64| if b.is_nan() || b > a { b } else { a };
        Ok(self.0.iter().map(|entry| entry.widen().abs()).fold(0.0, larger))
    }
}

impl<E: Element> Fused for NdMatrix<E> {}

#[cfg(test)]
spectra_conformance::suite!(
    ndarray_backend,
    || NdArray::new(),
    elements = [f32, f64],
    second_handle = Clone::clone
);

fn main() -> ExitCode {
    let reports: [Report; 2] = [
        suite::run(&Subject::new(NdArray::<f32>::new()).with_second_handle(Clone::clone).on_threads(), &[]),
        suite::run(&Subject::new(NdArray::<f64>::new()).with_second_handle(Clone::clone).on_threads(), &[]),
    ];
    reports.iter().for_each(|report| println!("{report}\n"));
    if reports.iter().all(Report::passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
