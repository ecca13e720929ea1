//! Defects of allocation and transfer.

use spectra_core::backend::Matrix;

use crate::bug::bug;

bug!(DirtyZeros, "memory that is not cleared", zeros, |rows, cols| {
    Ok(DenseMatrix::from_fn(rows, cols, |i, j| E::narrow(if i + j == 100 { 1e-30 } else { 0.0 })))
});

bug!(NarrowWrite, "doubles that pass through single precision", write, |out, values| {
    let narrowed: Vec<E> = values.iter().map(|x| E::narrow(f64::from(x.widen() as f32))).collect();
    out.write(&narrowed)
});

bug!(FlushedDenormals, "a transfer that flushes denormals", write, |out, values| {
    let flush = |x: &E| if x.is_normal() || !x.is_finite() { *x } else { E::zero() };
    out.write(&values.iter().map(flush).collect::<Vec<_>>())
});

bug!(CutLength, "a longer slice that is cut", write, |out, values| {
    let (rows, cols) = out.shape();
    out.write(values.get(..rows * cols).unwrap_or(values))
});
