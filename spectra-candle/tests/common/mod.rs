//! What several of these tests need.
#![allow(dead_code)]

use spectra_candle::{CandleBackend, CandleElement, CandleMatrix};
use spectra_core::backend::{Backend, Matrix, Result};
use spectra_core::dense::{Dense, DenseMatrix};

/// Pseudo-random numbers in [-1, 1), the same on every machine.
pub(crate) fn values(seed: u64, len: usize) -> Vec<f64> {
    (0..len).map(|i| spectra_core::linalg::uniform(seed, i, 0)).collect()
}

/// The same random matrix on candle and on the reference backend.
pub(crate) fn pair<E: CandleElement>(
    backend: &CandleBackend<E>,
    seed: u64,
    (rows, cols): (usize, usize),
) -> Result<(CandleMatrix<E>, DenseMatrix<E>)> {
    let values: Vec<E> = values(seed, rows * cols).into_iter().map(E::narrow).collect();
    Ok((backend.upload(rows, cols, &values)?, Dense::new().upload(rows, cols, &values)?))
}

/// The values of any matrix, in f64.
pub(crate) fn host<M: Matrix>(matrix: &M) -> Result<Vec<f64>> {
    use spectra_core::backend::Element;
    let (rows, cols) = matrix.shape();
    let mut out = vec![M::Element::narrow(0.0); rows * cols];
    matrix.read(&mut out)?;
    Ok(out.into_iter().map(Element::widen).collect())
}

/// `||a - b|| / max(||b||, 1)`, NaN if either holds one.
pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
    let norm: f64 = b.iter().map(|b| b * b).sum();
    difference.sqrt() / norm.sqrt().max(1.0)
}
