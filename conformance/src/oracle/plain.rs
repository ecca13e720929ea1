//! Matrix products in double precision, along rows: for the sizes at which twice the precision would take too long.

use crate::HostMatrix;

/// `A B`, each entry a sum of doubles in order: wrong by [`tolerance::product`](crate::tolerance::product) in double
/// precision, which [`product_by_doubles`](crate::tolerance::product_by_doubles) allows for.
///
/// # Panics
/// If the inner extents differ.
#[must_use]
pub fn product_of_doubles(a: &HostMatrix, b: &HostMatrix) -> HostMatrix {
    assert_eq!(a.cols, b.rows, "inner extents of a product");
    let mut out = HostMatrix::zeros(a.rows, b.cols);
    if a.cols == 0 || b.cols == 0 {
        return out;
    }
    for (row, out) in a.data.chunks_exact(a.cols).zip(out.data.chunks_exact_mut(b.cols)) {
        for (factor, b) in row.iter().zip(b.data.chunks_exact(b.cols)) {
            out.iter_mut().zip(b).for_each(|(sum, b)| *sum += factor * b);
        }
    }
    out
}

/// `||a_i|| ||b_j||` for the rows of A and the columns of B, at least `(|A| |B|)_ij`: what rounding errors of the product
/// are relative to, in two passes.
#[must_use]
pub fn product_bound(a: &HostMatrix, b: &HostMatrix) -> HostMatrix {
    let (rows, cols) = (a.transposed().column_norms(), b.column_norms());
    HostMatrix::from_fn(a.rows, b.cols, |i, j| rows[i] * cols[j])
}

#[cfg(test)]
mod tests {
    use super::{product_bound, product_of_doubles};
    use crate::distance::entrywise_distance;
    use crate::inputs::{gaussian, generator};
    use crate::oracle::{absolute_product, product};
    use crate::{HostMatrix, Precision, tolerance};

    #[test]
    fn it_is_as_good_as_its_tolerance_says() {
        let rng = &mut generator("plain product");
        let (a, b) = (gaussian(7, 300, rng), gaussian(300, 5, rng));
        let (plain, exact) = (product_of_doubles(&a, &b), product(&a, &b));
        let error = entrywise_distance(&plain, &exact, &absolute_product(&a, &b));
        assert!(error > 0.0 && error < tolerance::product(Precision::F64, 300), "{error:e}");
        let (bound, absolute) = (product_bound(&a, &b), absolute_product(&a, &b));
        assert!(bound.data.iter().zip(&absolute.data).all(|(bound, entry)| bound >= entry));
    }

    #[test]
    fn empty_products_are_zero() {
        let empty = product_of_doubles(&HostMatrix::zeros(2, 0), &HostMatrix::zeros(0, 3));
        assert_eq!(empty, HostMatrix::zeros(2, 3));
        assert_eq!(product_of_doubles(&HostMatrix::zeros(2, 3), &HostMatrix::zeros(3, 0)).shape(), (2, 0));
    }
}
