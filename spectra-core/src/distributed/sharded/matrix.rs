//! A matrix that is whole here, or divided.

use super::super::{Collectives, Division, Gather};
use super::{Shared, Spread, products};
use crate::backend::{
    Backend, Coef, Element, Error, ErrorKind, Matrix, Op, Result, Scalar, ScalarOp, check_shape,
};
use alloc::rc::Rc;

/// A matrix of [`Sharded`](super::Sharded): whole, or one of whose rows or columns each rank has a part, or of which it has a summand.
#[derive(Debug)]
pub struct ShardedMatrix<B: Backend, C> {
    pub(in crate::distributed) shape: (usize, usize),
    pub(in crate::distributed) local: B::Matrix,
    pub(in crate::distributed) spread: Option<Spread>,
    pub(in crate::distributed) shared: Rc<Shared<B, C>>,
}

impl<B: Backend, C> ShardedMatrix<B, C> {
    /// The part or the summand that is here, or all.
    pub fn local(&self) -> &B::Matrix {
        &self.local
    }

    /// The same, to change.
    pub fn local_mut(&mut self) -> &mut B::Matrix {
        &mut self.local
    }

    /// How it is distributed; `None`: it is whole.
    pub fn spread(&self) -> Option<Spread> {
        self.spread
    }

    /// Who has what, if it is divided.
    pub(in crate::distributed) fn division(&self) -> Option<Division> {
        self.spread.and_then(Spread::axis).map(|axis| Division::even(self.shape, axis, self.shared.size))
    }

    /// What is here as a summand; of a rank alone it is everything.
    pub(in crate::distributed) fn into_summand(self) -> Self {
        let spread = Some(Spread::Summands).filter(|_| self.shared.size > 1);
        Self { spread, ..self }
    }

    /// Whether it is a sum over the ranks.
    pub(super) fn is_sum(&self) -> bool {
        self.spread == Some(Spread::Summands)
    }

    /// An error unless `x` has this shape and distribution.
    pub(super) fn check(&self, operation: &'static str, x: &Self) -> Result<()> {
        check_shape(operation, self.shape, x.shape)?;
        if self.spread == x.spread { Ok(()) } else { Err(other_distribution(operation)) }
    }

    /// The same for what is not linear, and means nothing of summands.
    pub(super) fn check_entries(&self, operation: &'static str, x: &Self) -> Result<()> {
        self.check(operation, x)?;
        self.check_no_sum(operation)
    }

    /// An error if it is a sum over the ranks.
    pub(super) fn check_no_sum(&self, operation: &'static str) -> Result<()> {
        if self.is_sum() { Err(other_distribution(operation)) } else { Ok(()) }
    }
}

impl<B: Backend, C: Collectives<B>> ShardedMatrix<B, C> {
    /// The sum of the ranks' matrices, on every rank.
    pub(in crate::distributed) fn total(&self) -> Result<B::Matrix> {
        let Shared { backend, .. } = &*self.shared;
        let mut total = backend.zeros(self.shape.0, self.shape.1, None)?;
        total.copy_from(&self.local)?;
        self.shared.with_group(|group| group.sum(backend, &mut [&mut total], &mut []))?;
        Ok(total)
    }

    /// A number of the matrix from that of what is here, by a reduction; where reductions [stay here](crate::backend::Ranks::here) that of the
    /// part, or a bound for the summands: N times as large, from which each rank knows that its own is harmless.
    fn number(
        &self,
        operation: &'static str,
        here: B::Scalar,
        reduce: impl FnOnce(B::Scalar) -> Result<B::Scalar>,
    ) -> Result<B::Scalar> {
        let Shared { backend, size, quiet, .. } = &*self.shared;
        match self.spread {
            None => Ok(here),
            Some(Spread::Summands) if quiet.get() => {
                B::Scalar::combine(ScalarOp::Mul, &backend.scalar(*size as f64)?, &here)
            }
            Some(Spread::Summands) => Err(other_distribution(operation)),
            Some(_) if quiet.get() => Ok(here),
            Some(_) => reduce(here),
        }
    }
}

/// The error of matrices that are not distributed alike.
pub(super) fn other_distribution(operation: &'static str) -> Error {
    let what = "an operation on matrices that are distributed over ranks in this way";
    Error::new(operation, ErrorKind::Unsupported { what })
}

impl<B: Backend, C: Collectives<B>> Matrix for ShardedMatrix<B, C> {
    type Element = B::Element;
    type Scalar = B::Scalar;

    fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// A divided matrix is gathered, and summands are summed, on all ranks.
    fn read(&self, out: &mut [B::Element]) -> Result<()> {
        if self.is_sum() {
            return self.total()?.read(out);
        }
        let Some(division) = self.division() else { return self.local.read(out) };
        if out.len() != self.shape.0 * self.shape.1 {
            return Err(Error::shape("read", self.shape, (out.len(), 1)));
        }
        let Shared { backend, .. } = &*self.shared;
        let mut whole = backend.zeros(self.shape.0, self.shape.1, None)?;
        self.shared.with_group(|group| {
            let piece = Gather { part: &self.local, whole: &mut whole, division: &division };
            group.gather(&[], &mut [piece], &mut |_| Ok(()))
        })?;
        whole.read(out)
    }

    /// Of the whole matrix, on all ranks. Of a sum the first rank has all, and the others -0, the one number that changes no other's bits when
    /// it is added.
    fn write(&mut self, values: &[B::Element]) -> Result<()> {
        if self.is_sum() && self.shared.rank > 0 {
            let nothing = alloc::vec![B::Element::narrow(-0.0); values.len()];
            return self.local.write(&nothing);
        }
        let Some(division) = self.division() else { return self.local.write(values) };
        if values.len() != self.shape.0 * self.shape.1 {
            return Err(Error::shape("write", self.shape, (values.len(), 1)));
        }
        let (starts, len) = division.runs(self.shared.rank);
        let mut part = alloc::vec::Vec::with_capacity(self.local.shape().0 * self.local.shape().1);
        starts.for_each(|start| part.extend_from_slice(&values[start..start + len]));
        self.local.write(&part)
    }

    fn scale_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        self.check("scale_add", x)?;
        self.local.scale_add(beta, alpha, &x.local)
    }

    fn product_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self, y: &Self) -> Result<()> {
        self.check_entries("product_add", x)?;
        self.check_entries("product_add", y)?;
        self.local.product_add(beta, alpha, &x.local, &y.local)
    }

    fn quotient_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        y: &Self,
        eps: f64,
    ) -> Result<()> {
        self.check_entries("quotient_add", x)?;
        self.check_entries("quotient_add", y)?;
        self.local.quotient_add(beta, alpha, &x.local, &y.local, eps)
    }

    fn sign_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        self.check_entries("sign_add", x)?;
        self.local.sign_add(beta, alpha, &x.local)
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
        products::gemm(self, (beta, alpha), (a, op_a), (b, op_b), |out, beta, alpha, a, b| {
            out.gemm(beta, alpha, a, op_a, b, op_b)
        })
    }

    fn dot(&self, x: &Self) -> Result<B::Scalar> {
        self.check("dot", x)?;
        self.number("dot", self.local.dot(&x.local)?, |mut sum| {
            self.shared.sum(&mut [], &mut [&mut sum])?;
            Ok(sum)
        })
    }

    fn max_abs(&self) -> Result<B::Scalar> {
        self.number("max_abs", self.local.max_abs()?, |largest| {
            self.shared.with_group(|group| group.max(&self.shared.backend, &largest))
        })
    }

    fn has_wide_dot(&self) -> bool {
        self.local.has_wide_dot()
    }

    fn layout(&self) -> usize {
        self.spread.map_or(0, |spread| 1 + spread as usize)
    }

    fn row_layout(&self, cols: usize) -> usize {
        self.shared.spread_like(self, (self.shape.0, cols)).map_or(0, |spread| 1 + spread as usize)
    }

    fn column_layout(&self) -> usize {
        usize::from(self.spread == Some(Spread::Cols))
    }

    fn copy_from(&mut self, x: &Self) -> Result<()> {
        self.check("copy_from", x)?;
        self.local.copy_from(&x.local)
    }
}
