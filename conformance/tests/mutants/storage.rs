//! Defects of allocation and transfer.

use spectra_core::backend::{Element, Matrix, Result};
use spectra_core::dense::DenseMatrix;

use crate::broken::Bug;

#[derive(Clone, Copy, Debug)]
pub(crate) struct DirtyZeros;
impl Bug for DirtyZeros {
    const DEFECT: &'static str = "memory that is not cleared";
    fn zeros<E: Element>(rows: usize, cols: usize) -> Result<DenseMatrix<E>> {
        Ok(DenseMatrix::from_fn(rows, cols, |i, j| E::narrow(if i + j == 100 { 1e-30 } else { 0.0 })))
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct NarrowWrite;
impl Bug for NarrowWrite {
    const DEFECT: &'static str = "doubles that pass through single precision";
    fn write<E: Element>(out: &mut DenseMatrix<E>, values: &[E]) -> Result<()> {
        let narrowed: Vec<E> = values.iter().map(|x| E::narrow(f64::from(x.widen() as f32))).collect();
        out.write(&narrowed)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct FlushedDenormals;
impl Bug for FlushedDenormals {
    const DEFECT: &'static str = "a transfer that flushes denormals";
    fn write<E: Element>(out: &mut DenseMatrix<E>, values: &[E]) -> Result<()> {
        let flush = |x: &E| if x.is_normal() || !x.is_finite() { *x } else { E::zero() };
        out.write(&values.iter().map(flush).collect::<Vec<_>>())
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct CutLength;
impl Bug for CutLength {
    const DEFECT: &'static str = "a longer slice that is cut";
    fn write<E: Element>(out: &mut DenseMatrix<E>, values: &[E]) -> Result<()> {
        let (rows, cols) = out.shape();
        out.write(values.get(..rows * cols).unwrap_or(values))
    }
}
