//! Defects of the reductions.

use std::sync::atomic::{AtomicUsize, Ordering};

use spectra_core::backend::{Element, Matrix};
use spectra_core::dense::DenseMatrix;

use crate::bug::bug;

fn products<E: Element>(x: &DenseMatrix<E>, y: &DenseMatrix<E>) -> impl DoubleEndedIterator<Item = f64> {
    x.values().iter().zip(y.values()).map(|(x, y)| x.widen() * y.widen()).collect::<Vec<_>>().into_iter()
}

fn single_dot<E: Element>(x: &DenseMatrix<E>, y: &DenseMatrix<E>) -> f64 {
    f64::from(products(x, y).map(|product| product as f32).sum::<f32>())
}

bug!(RootOfDot, "the norm in place of its square", dot, |x, y| {
    let dot = x.dot(y)?;
    Ok(if dot > 0.0 && x == y { dot.sqrt() } else { dot })
});

bug!(OneByOne, "single-precision sums one by one", dot, |x, y| {
    x.dot(y)?;
    Ok(single_dot(x, y))
});

bug!(LateSingleDot, "single precision for more than 4096 doubles", dot, |x, y| {
    let double = x.dot(y)?;
    Ok(if x.values().len() > 4096 { single_dot(x, y) } else { double })
});

bug!(RestlessDot, "an order of summation that changes from call to call", dot, |x, y| {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let backwards = CALLS.fetch_add(1, Ordering::Relaxed) % 2 == 1;
    Ok(if backwards { products(x, y).rev().sum() } else { products(x, y).sum() })
});

bug!(SignedMaximum, "a maximum without absolute value", max_abs, |x| {
    let largest = |a: f64, x: &E| if x.is_nan() || x.widen() > a { x.widen() } else { a };
    Ok(x.values().iter().fold(0.0, largest))
});

bug!(NanDropped, "a maximum that drops NaN", max_abs, |x| {
    Ok(x.values().iter().fold(0.0, |a, x| a.max(x.widen().abs())))
});

bug!(LastRowDropped, "a maximum that leaves out the last row", max_abs, |x| {
    let (rows, cols) = x.shape();
    if rows < 2 {
        return x.max_abs();
    }
    DenseMatrix::from_vec(rows - 1, cols, x.values()[..(rows - 1) * cols].to_vec())?.max_abs()
});

bug!(NanFreeDot, "a sum that drops NaN", dot, |x, y| {
    x.dot(y)?;
    Ok(products(x, y).filter(|product| !product.is_nan()).sum())
});
