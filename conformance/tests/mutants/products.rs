//! Defects of the matrix products.

use spectra_core::backend::{Coefficient, Element, Matrix, Op, Result, check_gemm};
use spectra_core::dense::DenseMatrix;

use crate::broken::{accumulate, at};
use crate::bug::bug;
use crate::hooks::Number;

/// The product with `sum(inner, f)` in place of the sum of `f(0) .. f(inner - 1)`.
fn gemm_by<E: Element>(
    out: &mut DenseMatrix<E>,
    (beta, alpha): (Number<'_>, Number<'_>),
    (a, op_a): (&DenseMatrix<E>, Op),
    (b, op_b): (&DenseMatrix<E>, Op),
    sum: impl Fn(usize, &dyn Fn(usize) -> (f64, f64)) -> f64,
) -> Result<()> {
    let cols = out.shape().1;
    let inner = check_gemm(out.shape(), a.shape(), op_a, b.shape(), op_b)?;
    accumulate(out, beta, alpha, |index| {
        let (i, j) = (index / cols, index % cols);
        sum(inner, &|p| (at(a, op_a, i, p).widen(), at(b, op_b, p, j).widen()))
    });
    Ok(())
}

/// Products with other sums.
macro_rules! sum_bug {
    ($name:ident, $defect:literal, $sum:expr) => {
        bug!($name, $defect, gemm, |out, beta, alpha, a, op_a, b, op_b| {
            gemm_by(out, (beta, alpha), (a, op_a), (b, op_b), $sum)
        });
    };
}

fn single_sum(inner: usize, factors: &dyn Fn(usize) -> (f64, f64)) -> f64 {
    let product = |(x, y): (f64, f64)| x as f32 * y as f32;
    f64::from((0..inner).map(|p| product(factors(p))).sum::<f32>())
}

fn double_sum(inner: usize, factors: &dyn Fn(usize) -> (f64, f64)) -> f64 {
    (0..inner).map(factors).map(|(x, y)| x * y).sum()
}

fn ten_bit_sum(inner: usize, factors: &dyn Fn(usize) -> (f64, f64)) -> f64 {
    let round = |x: f64| f64::from(f32::from_bits(((x as f32).to_bits() + 0x1000) & !0x1fff));
    (0..inner).map(factors).map(|(x, y)| round(x) * round(y)).sum()
}

sum_bug!(DroppedInner, "the last term beyond a block left out", |inner, factors| {
    double_sum(if inner % 8 == 1 && inner > 1 { inner - 1 } else { inner }, factors)
});

sum_bug!(TenBits, "factors rounded to ten bits, as in TF32", ten_bit_sum);

sum_bug!(SingleAccumulation, "accumulation in single precision", single_sum);

sum_bug!(LateSingleAccumulation, "accumulation in single precision beyond 4096 terms", |inner, factors| {
    if inner > 4096 { single_sum(inner, factors) } else { double_sum(inner, factors) }
});

sum_bug!(SkippedZeros, "a shortcut for factors of zero", |inner, factors| {
    (0..inner).map(factors).filter(|(x, y)| *x != 0.0 && *y != 0.0).map(|(x, y)| x * y).sum()
});

bug!(
    IgnoredTransposition,
    "a transposition ignored where the shapes allow it",
    gemm,
    |out, beta, alpha, a, op_a, b, op_b| {
        let (rows, cols) = a.shape();
        out.gemm(beta, alpha, a, if rows == cols { Op::Plain } else { op_a }, b, op_b)
    }
);

bug!(IgnoredBeta, "a beta that is taken as 0 or 1", gemm, |out, beta, alpha, a, op_a, b, op_b| {
    let beta = if beta.is_zero() { Coefficient::ZERO } else { Coefficient::ONE };
    out.gemm(beta, alpha, a, op_a, b, op_b)
});

bug!(
    EmptyProduct,
    "an output left as it was by an empty product",
    gemm,
    |out, beta, alpha, a, op_a, b, op_b| {
        if check_gemm(out.shape(), a.shape(), op_a, b.shape(), op_b)? == 0 {
            return Ok(());
        }
        out.gemm(beta, alpha, a, op_a, b, op_b)
    }
);

bug!(
    OneTriangle,
    "one triangle that is not mirrored",
    gemm_symmetric,
    |out, beta, alpha, a, op_a, b, op_b| {
        let (old, n) = (out.clone(), out.shape().1);
        out.gemm(beta, alpha, a, op_a, b, op_b)?;
        for (index, entry) in out.values_mut().iter_mut().enumerate() {
            if index / n > index % n {
                *entry = old.values()[index];
            }
        }
        Ok(())
    }
);

bug!(
    WrongMirror,
    "a triangle mirrored from the row below",
    gemm_symmetric,
    |out, beta, alpha, a, op_a, b, op_b| {
        let n = out.shape().1;
        out.gemm(beta, alpha, a, op_a, b, op_b)?;
        for (i, j) in (0..n).flat_map(|i| (0..i).map(move |j| (i, j))) {
            // Right next to the diagonal, and one off beyond it.
            let row = if i - j > 2 { j + 1 } else { j };
            let entry = out.values()[row * n + i];
            out.values_mut()[i * n + j] = entry;
        }
        Ok(())
    }
);

bug!(
    SingleSymmetric,
    "symmetric products in single precision",
    gemm_symmetric,
    |out, beta, alpha, a, op_a, b, op_b| gemm_by(out, (beta, alpha), (a, op_a), (b, op_b), single_sum)
);

bug!(
    TenBitSymmetric,
    "symmetric products of ten bits",
    gemm_symmetric,
    |out, beta, alpha, a, op_a, b, op_b| gemm_by(out, (beta, alpha), (a, op_a), (b, op_b), ten_bit_sum)
);
