//! A backend whose handles share storage that is written in place.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use spectra_core::backend::{Backend, Coef, Element, Fused, Matrix, Op, Result};
use spectra_core::dense::{Dense, DenseMatrix};

/// Clones of its matrices share storage; with `COPIES`, `copy_from` shares it too.
#[derive(Clone, Debug)]
pub(crate) struct Shared<E, const COPIES: bool>(PhantomData<E>);

impl<E, const COPIES: bool> Shared<E, COPIES> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct SharedMatrix<E, const COPIES: bool>(Rc<RefCell<DenseMatrix<E>>>);

impl<E: Element, const COPIES: bool> Backend for Shared<E, COPIES> {
    type Element = E;
    type Scalar = f64;
    type Matrix = SharedMatrix<E, COPIES>;

    fn zeros(&self, rows: usize, cols: usize, _: Option<&Self::Matrix>) -> Result<Self::Matrix> {
        Dense::new().zeros(rows, cols, None).map(|matrix| SharedMatrix(Rc::new(RefCell::new(matrix))))
    }

    fn scalar(&self, value: f64) -> Result<f64> {
        Ok(value)
    }
}

impl<E: Element, const COPIES: bool> Matrix for SharedMatrix<E, COPIES> {
    type Element = E;
    type Scalar = f64;

    fn shape(&self) -> (usize, usize) {
        self.0.borrow().shape()
    }
    fn read(&self, out: &mut [E]) -> Result<()> {
        self.0.borrow().read(out)
    }
    fn write(&mut self, values: &[E]) -> Result<()> {
        self.0.borrow_mut().write(values)
    }
    fn scale_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        self.0.borrow_mut().scale_add(beta, alpha, &x.0.borrow())
    }
    fn product_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self, y: &Self) -> Result<()> {
        self.0.borrow_mut().product_add(beta, alpha, &x.0.borrow(), &y.0.borrow())
    }
    fn quotient_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        y: &Self,
        eps: f64,
    ) -> Result<()> {
        self.0.borrow_mut().quotient_add(beta, alpha, &x.0.borrow(), &y.0.borrow(), eps)
    }
    fn sign_add(&mut self, beta: Coef<'_, Self>, alpha: Coef<'_, Self>, x: &Self) -> Result<()> {
        self.0.borrow_mut().sign_add(beta, alpha, &x.0.borrow())
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
        self.0.borrow_mut().gemm(beta, alpha, &a.0.borrow(), op_a, &b.0.borrow(), op_b)
    }
    fn dot(&self, x: &Self) -> Result<f64> {
        self.0.borrow().dot(&x.0.borrow())
    }
    fn max_abs(&self) -> Result<f64> {
        self.0.borrow().max_abs()
    }
    fn copy_from(&mut self, x: &Self) -> Result<()> {
        if COPIES {
            self.0 = Rc::clone(&x.0);
            return Ok(());
        }
        self.0.borrow_mut().copy_from(&x.0.borrow())
    }
}

impl<E: Element, const COPIES: bool> Fused for SharedMatrix<E, COPIES> {}
