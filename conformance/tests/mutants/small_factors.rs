//! Defects of the small factorisations.

use spectra_core::backend::{Element, Fused, Matrix};
use spectra_core::dense::DenseMatrix;

use crate::bug::bug;

/// Calls the sound factorisation of one kind and then changes its result.
macro_rules! factor_bug {
    ($name:ident, $defect:literal, $kind:ident, |$out:ident, $k:ident, $info:ident| $change:expr) => {
        bug!($name, $defect, small_factor, |$out, factor, gram, scratch| {
            let $info = $out.small_factor(factor, gram, scratch)?;
            let $k = gram.shape().0;
            if factor == SmallFactor::$kind { $change } else { Ok($info) }
        });
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

factor_bug!(IncreasingEigenvectors, "eigenvectors in increasing order", EIGENVECTORS, |out, k, info| {
    if k > 0 {
        out.values_mut().chunks_exact_mut(k).for_each(<[E]>::reverse);
    }
    Ok(info)
});

factor_bug!(TransposedSorter, "the inverse permutation", Sorter, |out, k, info| {
    let transposed = DenseMatrix::from_fn(k, k, |i, j| out.values()[j * k + i]);
    *out = transposed;
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

bug!(OnePass, "a single pass of Gram-Schmidt", gram_schmidt, |out, _| {
    gram_schmidt(out, 1);
    Ok(())
});

bug!(CompletedBasis, "a direction of noise for a dependent column", gram_schmidt, |out, _| {
    gram_schmidt(out, 2);
    Ok(())
});

bug!(
    OtherNumbers,
    "random columns that depend on the matrix's shape",
    seed_zero_columns,
    |out, seed, scratch| {
        let rows = out.shape().0 as u64;
        out.seed_zero_columns(seed.wrapping_add(rows), scratch)
    }
);

/// Calls the sound factorisation on a Gram matrix some of whose entries are others.
macro_rules! gram_bug {
    ($name:ident, $defect:literal, |$gram:ident, $i:ident, $j:ident| $entry:expr) => {
        bug!($name, $defect, small_factor, |out, factor, gram, scratch| {
            let $gram = |i: usize, j: usize| gram.values()[i * gram.shape().0 + j].widen();
            let changed = DenseMatrix::from_fn(gram.shape().0, gram.shape().0, |$i, $j| E::narrow($entry));
            out.small_factor(factor, &changed, scratch)
        });
    };
}

gram_bug!(TinySquaresDead, "squared lengths below 1e-30 taken for zero", |gram, i, j| {
    if gram(i, i) < 1e-30 || gram(j, j) < 1e-30 { 0.0 } else { gram(i, j) }
});

gram_bug!(ScalesMultiplied, "a product of two scales that leaves the range", |gram, i, j| {
    let scales = 1.0 / gram(i, i).sqrt() * (1.0 / gram(j, j).sqrt());
    if i != j && gram(i, i) > 0.0 && gram(j, j) > 0.0 && scales.is_infinite() { f64::NAN } else { gram(i, j) }
});

// In the type of the elements, where products of squares of more than a few numbers leave the range.
gram_bug!(ProductOfSquares, "a rotation left out where the product of two squares vanishes", |gram, i, j| {
    if i != j && E::narrow(gram(i, i) * gram(j, j)).is_zero() { 0.0 } else { gram(i, j) }
});
