//! Defects of the small factorisations.

use spectra_core::backend::{Element, Matrix, Result};
use spectra_core::dense::DenseMatrix;
use spectra_core::linalg::{Scratch, SmallFactor, SmallInfo};

use crate::broken::Bug;

/// Calls the sound factorisation of one kind and then changes its result.
macro_rules! factor_bug {
    ($name:ident, $defect:literal, $kind:ident, |$out:ident, $k:ident, $info:ident| $change:expr) => {
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name;
        impl Bug for $name {
            const DEFECT: &'static str = $defect;
            fn small_factor<E: Element>(
                $out: &mut DenseMatrix<E>,
                factor: SmallFactor,
                gram: &DenseMatrix<E>,
                scratch: &mut Scratch<E>,
            ) -> Result<Option<SmallInfo>> {
                let $info = $out.small_factor(factor, gram, scratch)?;
                let $k = gram.shape().0;
                if factor == SmallFactor::$kind { $change } else { Ok($info) }
            }
        }
    };
}

factor_bug!(TransposedFactor, "the transposed Cholesky factor", CholeskyInverse, |out, k, info| {
    let transposed = DenseMatrix::from_fn(k, k, |i, j| out.values()[j * k + i]);
    *out = transposed;
    Ok(info)
});

factor_bug!(SquaredLengths, "squared lengths in place of lengths", ColumnNormalizer, |out, _k, info| {
    out.values_mut().iter_mut().for_each(|entry| *entry = *entry * *entry);
    Ok(info)
});

factor_bug!(Increasing, "eigenvalues in increasing order", Diagonalizer, |out, k, info| {
    if k > 0 {
        out.values_mut().chunks_exact_mut(k).for_each(<[E]>::reverse);
    }
    Ok(info)
});

factor_bug!(UncountedDead, "dead columns that are not counted", CholeskyInverse, |_out, _k, info| Ok(
    info.map(|info| SmallInfo { dead: 0, ..info })
));

/// Classical Gram-Schmidt in the element type, `passes` times; a dependent column is what rounding left of it.
fn gram_schmidt<E: Element>(out: &mut DenseMatrix<E>, passes: usize) {
    let (m, k) = out.shape();
    let values = out.values_mut();
    let dot = |values: &[E], i: usize, j: usize| {
        (0..m).fold(E::zero(), |sum, row| sum + values[row * k + i] * values[row * k + j])
    };
    for j in 0..k {
        for _ in 0..passes {
            let projections: Vec<E> = (0..j).map(|i| dot(values, i, j)).collect();
            for (i, projection) in projections.into_iter().enumerate() {
                for row in 0..m {
                    values[row * k + j] = values[row * k + j] - projection * values[row * k + i];
                }
            }
        }
        let length = dot(values, j, j).sqrt();
        if length > E::zero() {
            (0..m).for_each(|row| values[row * k + j] = values[row * k + j] / length);
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct OnePass;
impl Bug for OnePass {
    const DEFECT: &'static str = "a single pass of Gram-Schmidt";
    fn gram_schmidt<E: Element>(out: &mut DenseMatrix<E>, _: &mut Scratch<E>) -> Result<()> {
        gram_schmidt(out, 1);
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct CompletedBasis;
impl Bug for CompletedBasis {
    const DEFECT: &'static str = "a direction of noise for a dependent column";
    fn gram_schmidt<E: Element>(out: &mut DenseMatrix<E>, _: &mut Scratch<E>) -> Result<()> {
        gram_schmidt(out, 2);
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct OtherNumbers;
impl Bug for OtherNumbers {
    const DEFECT: &'static str = "random columns that depend on the matrix's shape";
    fn seed_zero_columns<E: Element>(
        out: &mut DenseMatrix<E>,
        seed: u64,
        scratch: &mut Scratch<E>,
    ) -> Result<()> {
        let rows = out.shape().0 as u64;
        out.seed_zero_columns(seed.wrapping_add(rows), scratch)
    }
}
