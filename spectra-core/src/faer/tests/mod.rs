//! Every method against the portable backend, within bounds proved from eps and the inner dimension.

mod elementwise;
mod fused;
mod householder;
mod products;
mod storage;

use super::{FaerElement, FaerMatrix};
use crate::backend::Matrix;
use crate::dense::DenseMatrix;
use crate::linalg::uniform;
use alloc::vec::Vec;

/// Around the sizes of vectors, register tiles and cache lines.
const SIZES: [usize; 10] = [0, 1, 7, 8, 9, 63, 64, 65, 127, 129];

/// The same pseudo-random entries in [-1, 1) in both backends.
fn pair<E: FaerElement>(rows: usize, cols: usize, seed: u64) -> (FaerMatrix<E>, DenseMatrix<E>) {
    let fast = FaerMatrix::from_fn(rows, cols, |i, j| E::narrow(uniform(seed, i, j)));
    (fast.clone(), fast.into())
}

/// `rows x cols` of NaN in both backends.
fn nan_pair<E: FaerElement>(rows: usize, cols: usize) -> (FaerMatrix<E>, DenseMatrix<E>) {
    let fast = FaerMatrix::from_fn(rows, cols, |_, _| E::narrow(f64::NAN));
    (fast.clone(), fast.into())
}

/// The magnitudes.
fn magnitudes<E: FaerElement>(x: &DenseMatrix<E>) -> DenseMatrix<f64> {
    let (rows, cols) = x.shape();
    let values: Vec<f64> = x.values().iter().map(|x| x.widen().abs()).collect();
    DenseMatrix::from_fn(rows, cols, |i, j| values[i * cols + j])
}

/// `|x - y| <= bound` everywhere; NaN fails.
#[track_caller]
fn assert_within<E: FaerElement>(x: &[E], y: &[E], bound: &[f64], what: &str) {
    assert_eq!((x.len(), y.len()), (y.len(), bound.len()), "{what}");
    for (i, ((x, y), bound)) in x.iter().zip(y).zip(bound).enumerate() {
        let error = (x.widen() - y.widen()).abs();
        assert!(error <= *bound, "{what}, entry {i}: {x:?} for {y:?}, error {error:e}, bound {bound:e}");
    }
}
