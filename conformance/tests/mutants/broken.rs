//! The portable backend with a defect.

use spectra_core::backend::{
    Backend, Coef, Coefficient, Element, Entrywise, Fused, Gradient, Matrix, Op, Result, Scalar, ScalarOp,
    composed,
};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::linalg::{Scratch, SixteenBits, SmallFactor, SmallInfo, Workspace};

use crate::hooks::{Bug, Number};

/// The portable backend with a defect, which is a value and no type: the checks are compiled once for all defects.
#[derive(Clone, Debug)]
pub(crate) struct Broken<E: Element>(pub(crate) &'static dyn Bug<E>);

/// Its matrices.
#[derive(Clone, Debug)]
pub(crate) struct BrokenMatrix<E: Element>(DenseMatrix<E>, &'static dyn Bug<E>);

impl<E: Element> Backend for Broken<E> {
    type Element = E;
    type Scalar = BrokenScalar<E>;
    type Matrix = BrokenMatrix<E>;

    fn zeros(&self, rows: usize, cols: usize, _: Option<&Self::Matrix>) -> Result<Self::Matrix> {
        self.0.zeros(rows, cols).map(|matrix| BrokenMatrix(matrix, self.0))
    }

    fn zeros_stored(
        &self,
        format: SixteenBits,
        shape: (usize, usize),
        _: Option<&Self::Matrix>,
    ) -> Result<Self::Matrix> {
        self.0.zeros_stored(format, shape).map(|matrix| BrokenMatrix(matrix, self.0))
    }

    fn scalar(&self, value: f64) -> Result<BrokenScalar<E>> {
        Ok(BrokenScalar(value, self.0))
    }
    fn entrywise_add<const N: usize>(
        mut matrices: [&mut Self::Matrix; N],
        weights: (f64, f64),
        rule: Entrywise,
        gradient: &Gradient<'_, Self::Matrix>,
        workspace: &mut Workspace<Self>,
    ) -> Result<()> {
        let bug = gradient.values.1;
        let mut values: Vec<&mut DenseMatrix<E>> = matrices.iter_mut().map(|matrix| &mut matrix.0).collect();
        if let Some(result) = bug.entrywise(&mut values, weights, rule, &inner(gradient)) {
            return result;
        }
        let rule = bug.entrywise_add(rule);
        let Some(square) = bug.factor_of_squares(number(gradient.scale).value()) else {
            return composed::entrywise_add(matrices, weights, rule, gradient, workspace);
        };
        crate::gradient_range::squared_apart(matrices, weights, rule, gradient, square, workspace)
    }
}

/// Its scalars.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BrokenScalar<E: Element>(f64, &'static dyn Bug<E>);

impl<E: Element> Scalar for BrokenScalar<E> {
    fn combine(op: ScalarOp, a: &Self, b: &Self) -> Result<Self> {
        Ok(Self(a.1.combine(op, a.0, b.0), a.1))
    }
    fn sqrt(&self) -> Result<Self> {
        Scalar::sqrt(&self.0).map(|root| Self(root, self.1))
    }
    fn read(&self) -> Result<f64> {
        Ok(self.0)
    }
    fn known(&self) -> Option<f64> {
        self.1.known(self.0)
    }
}

/// The coefficient as the portable backend takes it.
pub(crate) fn number<E: Element>(coefficient: Coefficient<'_, BrokenScalar<E>>) -> Number<'_> {
    Coefficient { factor: coefficient.factor, scalar: coefficient.scalar.map(|scalar| &scalar.0) }
}

fn inner<'a, E: Element>(gradient: &Gradient<'a, BrokenMatrix<E>>) -> Gradient<'a, DenseMatrix<E>> {
    Gradient { values: &gradient.values.0, scale: number(gradient.scale) }
}

impl<E: Element> Matrix for BrokenMatrix<E> {
    type Element = E;
    type Scalar = BrokenScalar<E>;

    fn shape(&self) -> (usize, usize) {
        self.0.shape()
    }
    fn read(&self, out: &mut [E]) -> Result<()> {
        self.1.read(&self.0, out)
    }
    fn write(&mut self, values: &[E]) -> Result<()> {
        self.1.write(&mut self.0, values)
    }
    fn scale_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        self.1.scale_add(&mut self.0, number(beta), number(alpha), &x.0)
    }
    fn product_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self, y: &Self) -> Result<()> {
        self.1.product_add(&mut self.0, number(beta), number(alpha), &x.0, &y.0)
    }
    fn quotient_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        y: &Self,
        eps: f64,
    ) -> Result<()> {
        self.1.quotient_add(&mut self.0, number(beta), number(alpha), &x.0, &y.0, eps)
    }
    fn sign_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        self.1.sign_add(&mut self.0, number(beta), number(alpha), &x.0)
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
        self.1.gemm(&mut self.0, number(beta), number(alpha), &a.0, op_a, &b.0, op_b)
    }
    fn has_wide_dot(&self) -> bool {
        true
    }
    fn dot(&self, x: &Self) -> Result<BrokenScalar<E>> {
        self.1.dot(&self.0, &x.0).map(|value| BrokenScalar(value, self.1))
    }
    fn max_abs(&self) -> Result<BrokenScalar<E>> {
        self.1.max_abs(&self.0).map(|value| BrokenScalar(value, self.1))
    }
    fn copy_from(&mut self, x: &Self) -> Result<()> {
        self.1.copy_from(&mut self.0, &x.0)
    }
}

impl<E: Element> Fused for BrokenMatrix<E> {
    fn gemm_symmetric(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        a: &Self,
        op_a: Op,
        b: &Self,
        op_b: Op,
    ) -> Result<()> {
        self.1.gemm_symmetric(&mut self.0, number(beta), number(alpha), &a.0, op_a, &b.0, op_b)
    }
    fn adam_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        first: &mut Self,
        second: &mut Self,
        gradient: &Self,
        betas: (f64, f64),
        eps: f64,
    ) -> Result<()> {
        let (first, second) = (&mut first.0, &mut second.0);
        self.1.adam_add(&mut self.0, number(beta), number(alpha), first, second, &gradient.0, betas, eps)
    }
    fn power_sweep(
        &mut self,
        update: Option<(f64, &Gradient<'_, Self>)>,
        alpha: f64,
        v: &Self,
        p: &mut Self,
        gram: &mut Self,
        z: &mut Self,
    ) -> Result<BrokenScalar<E>> {
        let gradient = update.map(|(_, gradient)| inner(gradient));
        let update = update.map(|(mu, _)| mu).zip(gradient.as_ref());
        self.1
            .power_sweep(&mut self.0, update, alpha, &v.0, &mut p.0, &mut gram.0, &mut z.0)
            .map(|value| BrokenScalar(value, self.1))
    }
    fn low_rank_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        left: &Self,
        right: &Self,
    ) -> Result<()> {
        self.1.low_rank_add(&mut self.0, number(beta), number(alpha), &x.0, &left.0, &right.0)
    }
    fn small_factor(
        &mut self,
        factor: SmallFactor,
        gram: &Self,
        scratch: &mut Scratch<E>,
    ) -> Result<Option<SmallInfo>> {
        self.1.small_factor(&mut self.0, factor, &gram.0, scratch)
    }
    fn gram_schmidt(&mut self, scratch: &mut Scratch<E>) -> Result<()> {
        self.1.gram_schmidt(&mut self.0, scratch)
    }
    fn round_stochastic(&mut self, format: SixteenBits, seed: u64, scratch: &mut Scratch<E>) -> Result<()> {
        self.1.round_stochastic(&mut self.0, format, seed, scratch)
    }
    fn seed_zero_columns(&mut self, seed: u64, scratch: &mut Scratch<E>) -> Result<()> {
        self.1.seed_zero_columns(&mut self.0, seed, scratch)
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

/// A step of the portable backend.
pub(crate) fn sound_step<E: Element>(
    matrices: &mut [&mut DenseMatrix<E>],
    weights: (f64, f64),
    rule: Entrywise,
    gradient: &Gradient<'_, DenseMatrix<E>>,
) -> Result<()> {
    let workspace = &mut Workspace::new(Dense::new());
    match matrices {
        [x, m] => Dense::entrywise_add([x, m], weights, rule, gradient, workspace),
        [x, m, v] => Dense::entrywise_add([x, m, v], weights, rule, gradient, workspace),
        [x, m, v, s] => Dense::entrywise_add([x, m, v, s], weights, rule, gradient, workspace),
        _ => rule.check(&vec![(1, 1); matrices.len()], (1, 1)),
    }
}

/// Puts old values back where `lost` says so of a row and a column.
pub(crate) fn keep<E: Element>(
    out: &mut DenseMatrix<E>,
    old: &DenseMatrix<E>,
    lost: impl Fn(usize, usize) -> bool,
) {
    let cols = out.shape().1;
    for (index, (entry, old)) in out.values_mut().iter_mut().zip(old.values()).enumerate() {
        if lost(index / cols, index % cols) {
            *entry = *old;
        }
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
