//! A backend as on a device: scalars of the element type whose value the host does not know, and small factorisations that
//! do not tell what they found. The algorithms take their branch-free form.

use std::marker::PhantomData;

use spectra_core::backend::{
    Backend, Coef, Coefficient, Element, Fused, Matrix, Op, Result, Scalar, ScalarOp,
};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::linalg::{Scratch, SmallFactor, SmallInfo};

/// The portable backend behind scalars that have to be read.
#[derive(Clone, Debug)]
struct Device<E>(PhantomData<E>);

impl<E> Device<E> {
    fn new() -> Self {
        Self(PhantomData)
    }
}

#[derive(Clone, Copy, Debug)]
struct DeviceScalar<E>(E);

impl<E: Element> Scalar for DeviceScalar<E> {
    fn combine(op: ScalarOp, a: &Self, b: &Self) -> Result<Self> {
        Ok(Self(E::narrow(op.on_host(a.0.widen(), b.0.widen()))))
    }
    fn sqrt(&self) -> Result<Self> {
        Ok(Self(self.0.sqrt()))
    }
    fn read(&self) -> Result<f64> {
        Ok(self.0.widen())
    }
}

#[derive(Clone, Debug)]
struct DeviceMatrix<E>(DenseMatrix<E>);

impl<E: Element> Backend for Device<E> {
    type Element = E;
    type Scalar = DeviceScalar<E>;
    type Matrix = DeviceMatrix<E>;

    fn zeros(&self, rows: usize, cols: usize, _: Option<&Self::Matrix>) -> Result<Self::Matrix> {
        Dense::new().zeros(rows, cols, None).map(DeviceMatrix)
    }
    fn scalar(&self, value: f64) -> Result<Self::Scalar> {
        Ok(DeviceScalar(E::narrow(value)))
    }
}

/// Calls an operation of the portable backend with coefficients whose device part is read.
macro_rules! with_values {
    ($($name:ident),+ => $call:expr) => {{
        $(let value = $name.scalar.map(|scalar| scalar.0.widen());
        let $name = Coefficient { factor: $name.factor, scalar: value.as_ref() };)+
        $call
    }};
}

impl<E: Element> Matrix for DeviceMatrix<E> {
    type Element = E;
    type Scalar = DeviceScalar<E>;

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
        with_values!(beta, alpha => self.0.scale_add(beta, alpha, &x.0))
    }
    fn product_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self, y: &Self) -> Result<()> {
        with_values!(beta, alpha => self.0.product_add(beta, alpha, &x.0, &y.0))
    }
    fn quotient_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        y: &Self,
        eps: f64,
    ) -> Result<()> {
        with_values!(beta, alpha => self.0.quotient_add(beta, alpha, &x.0, &y.0, eps))
    }
    fn sign_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        with_values!(beta, alpha => self.0.sign_add(beta, alpha, &x.0))
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
        with_values!(beta, alpha => self.0.gemm(beta, alpha, &a.0, op_a, &b.0, op_b))
    }
    fn dot(&self, x: &Self) -> Result<DeviceScalar<E>> {
        self.0.dot(&x.0).map(|value| DeviceScalar(E::narrow(value)))
    }
    fn max_abs(&self) -> Result<DeviceScalar<E>> {
        self.0.max_abs().map(|value| DeviceScalar(E::narrow(value)))
    }
}

impl<E: Element> Fused for DeviceMatrix<E> {
    fn small_factor(
        &mut self,
        factor: SmallFactor,
        gram: &Self,
        scratch: &mut Scratch<E>,
    ) -> Result<Option<SmallInfo>> {
        self.0.small_factor(factor, &gram.0, scratch).map(|_| None)
    }
}

// Defects of the shared algorithms where the host does not know what they found.
//
// * `orthonormalize_ill_conditioned`, `power_iteration_ill_conditioned`, `tail_shrink_ill_conditioned`: two rounds of
//   Cholesky QR are all there is, and they need a moderate condition.
// * `orthonormalize_extreme`: nothing tells the host that squares of the entries leave the range of f32.
// * `power_iteration_deficient`: `W = (M^T P) R^-1` is not `M^T U` when columns of P are dependent.
// * `schatten_threshold`, `frank_wolfe_schatten`: the whole decomposition is a power iteration on a block of full rank,
//   whose columns are as ill-conditioned as the matrix.
spectra_conformance::suite!(
    unknown_norms,
    || Device::new(),
    elements = [f32, f64],
    second_handle = Clone::clone,
    skip = [
        orthonormalize_ill_conditioned,
        orthonormalize_extreme,
        power_iteration_ill_conditioned,
        power_iteration_deficient,
        tail_shrink_ill_conditioned,
        schatten_threshold,
        frank_wolfe_schatten,
    ],
);
