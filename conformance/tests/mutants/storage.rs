//! Defects of allocation and transfer.

use spectra_core::backend::{Backend, Fused, Matrix};
use spectra_core::dense::Dense;

use crate::bug::bug;
use crate::bug::signatures::*;

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

bug!(FullWidth, "full width where 16 bits are asked for", zeros_stored, |_, (rows, cols)| {
    Dense::new().zeros(rows, cols, None)
});

bug!(OtherFormat, "f16 where bf16 is asked for", zeros_stored, |_, shape| {
    Dense::new().zeros_stored(SixteenBits::F16, shape, None)
});

/// Its values in full width.
fn widened<E: Element>(x: &DenseMatrix<E>) -> Result<DenseMatrix<E>> {
    let (rows, cols) = x.shape();
    let mut full = Dense::new().zeros(rows, cols, None)?;
    full.copy_from(x)?;
    Ok(full)
}

bug!(TowardsZero, "a sum cut to 16 bits", scale_add, |out, beta, alpha, x| {
    let mut full = widened(out)?;
    full.scale_add(beta, alpha, x)?;
    let cut = |x: &E| E::narrow(f32::from_bits((x.widen() as f32).to_bits() & 0xffff_0000).into());
    out.write(&full.values().iter().map(cut).collect::<Vec<_>>())
});

bug!(
    UnroundedSweep,
    "products with a momentum before its rounding",
    power_sweep,
    |m, update, alpha, v, p, gram, z| {
        let mut full = widened(m)?;
        let norm = full.power_sweep(update, alpha, v, p, gram, z)?;
        m.copy_from(&full)?;
        Ok(norm)
    }
);
