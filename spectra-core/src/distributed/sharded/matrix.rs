//! A matrix that is whole here, or divided.

use super::super::{Axis, Collectives, Division, Gather};
use super::{Shared, products};
use crate::backend::{Backend, Coef, Error, ErrorKind, Matrix, Op, Result, check_shape};
use alloc::rc::Rc;

/// A matrix of [`Sharded`](super::Sharded): whole, or one of whose rows or columns each rank has a part.
#[derive(Debug)]
pub struct ShardedMatrix<B: Backend, C> {
    pub(in crate::distributed) shape: (usize, usize),
    pub(in crate::distributed) local: B::Matrix,
    pub(in crate::distributed) axis: Option<Axis>,
    pub(in crate::distributed) shared: Rc<Shared<B, C>>,
}

impl<B: Backend, C> ShardedMatrix<B, C> {
    /// The part that is here, or all.
    pub fn local(&self) -> &B::Matrix {
        &self.local
    }

    /// The part that is here, to change.
    pub fn local_mut(&mut self) -> &mut B::Matrix {
        &mut self.local
    }

    /// What is divided; `None`: the matrix is whole.
    pub fn axis(&self) -> Option<Axis> {
        self.axis
    }

    /// Who has what, if it is divided.
    pub(in crate::distributed) fn division(&self) -> Option<Division> {
        self.axis.map(|axis| Division::even(self.shape, axis, self.shared.size))
    }

    /// An error unless `x` has this shape and distribution.
    pub(super) fn check(&self, operation: &'static str, x: &Self) -> Result<()> {
        check_shape(operation, self.shape, x.shape)?;
        if self.axis == x.axis { Ok(()) } else { Err(other_distribution(operation)) }
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

    /// A divided matrix is gathered, on all ranks.
    fn read(&self, out: &mut [B::Element]) -> Result<()> {
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

    /// Of the whole matrix, on all ranks.
    fn write(&mut self, values: &[B::Element]) -> Result<()> {
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
        self.check("product_add", x)?;
        self.check("product_add", y)?;
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
        self.check("quotient_add", x)?;
        self.check("quotient_add", y)?;
        self.local.quotient_add(beta, alpha, &x.local, &y.local, eps)
    }

    fn sign_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        self.check("sign_add", x)?;
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
        let mut sum = self.local.dot(&x.local)?;
        if self.axis.is_some() {
            self.shared.sum(&mut [], &mut [&mut sum])?;
        }
        Ok(sum)
    }

    fn max_abs(&self) -> Result<B::Scalar> {
        let largest = self.local.max_abs()?;
        if self.axis.is_none() || self.shared.quiet.get() {
            return Ok(largest);
        }
        self.shared.with_group(|group| group.max(&self.shared.backend, &largest))
    }

    fn has_wide_dot(&self) -> bool {
        self.local.has_wide_dot()
    }

    fn layout(&self) -> usize {
        match self.axis {
            None => 0,
            Some(Axis::Rows) => 1,
            Some(Axis::Cols) => 2,
        }
    }

    fn column_layout(&self) -> usize {
        usize::from(self.axis == Some(Axis::Cols))
    }

    fn copy_from(&mut self, x: &Self) -> Result<()> {
        self.check("copy_from", x)?;
        self.local.copy_from(&x.local)
    }
}
