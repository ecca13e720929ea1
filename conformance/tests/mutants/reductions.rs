//! Defects of the reductions.

use std::sync::atomic::{AtomicUsize, Ordering};

use spectra_core::backend::{Element, Matrix, Result};
use spectra_core::dense::DenseMatrix;

use crate::broken::Bug;

fn products<E: Element>(x: &DenseMatrix<E>, y: &DenseMatrix<E>) -> impl DoubleEndedIterator<Item = f64> {
    x.values().iter().zip(y.values()).map(|(x, y)| x.widen() * y.widen()).collect::<Vec<_>>().into_iter()
}

fn single_dot<E: Element>(x: &DenseMatrix<E>, y: &DenseMatrix<E>) -> f64 {
    f64::from(products(x, y).map(|product| product as f32).sum::<f32>())
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct RootOfDot;
impl Bug for RootOfDot {
    const DEFECT: &'static str = "the norm in place of its square";
    fn dot<E: Element>(x: &DenseMatrix<E>, y: &DenseMatrix<E>) -> Result<f64> {
        let dot = x.dot(y)?;
        Ok(if dot > 0.0 && x == y { dot.sqrt() } else { dot })
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct OneByOne;
impl Bug for OneByOne {
    const DEFECT: &'static str = "single-precision sums one by one";
    fn dot<E: Element>(x: &DenseMatrix<E>, y: &DenseMatrix<E>) -> Result<f64> {
        x.dot(y)?;
        Ok(single_dot(x, y))
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct LateSingleDot;
impl Bug for LateSingleDot {
    const DEFECT: &'static str = "single precision for more than 4096 doubles";
    fn dot<E: Element>(x: &DenseMatrix<E>, y: &DenseMatrix<E>) -> Result<f64> {
        let double = x.dot(y)?;
        Ok(if x.values().len() > 4096 { single_dot(x, y) } else { double })
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct RestlessDot;
impl Bug for RestlessDot {
    const DEFECT: &'static str = "an order of summation that changes from call to call";
    fn dot<E: Element>(x: &DenseMatrix<E>, y: &DenseMatrix<E>) -> Result<f64> {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        let backwards = CALLS.fetch_add(1, Ordering::Relaxed) % 2 == 1;
        Ok(if backwards { products(x, y).rev().sum() } else { products(x, y).sum() })
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SignedMaximum;
impl Bug for SignedMaximum {
    const DEFECT: &'static str = "a maximum without absolute value";
    fn max_abs<E: Element>(x: &DenseMatrix<E>) -> Result<f64> {
        let largest = |a: f64, x: &E| if x.is_nan() || x.widen() > a { x.widen() } else { a };
        Ok(x.values().iter().fold(0.0, largest))
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct NanDropped;
impl Bug for NanDropped {
    const DEFECT: &'static str = "a maximum that drops NaN";
    fn max_abs<E: Element>(x: &DenseMatrix<E>) -> Result<f64> {
        Ok(x.values().iter().fold(0.0, |a, x| a.max(x.widen().abs())))
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct LastRowDropped;
impl Bug for LastRowDropped {
    const DEFECT: &'static str = "a maximum that leaves out the last row";
    fn max_abs<E: Element>(x: &DenseMatrix<E>) -> Result<f64> {
        let (rows, cols) = x.shape();
        if rows < 2 {
            return x.max_abs();
        }
        DenseMatrix::from_vec(rows - 1, cols, x.values()[..(rows - 1) * cols].to_vec())?.max_abs()
    }
}
