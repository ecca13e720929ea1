//! Matrix products in twice the working precision.
//!
//! Each entry is a dot product by the compensated algorithm Dot2 of Ogita, Rump and Oishi (Accurate sum and dot
//! product, SIAM J. Sci. Comput. 26, 2005): its result is as good as if computed in twice the precision and rounded
//! once, so a double-precision backend is measured against something better than itself.

use pulp::{Arch, NullaryFnOnce};

use crate::HostMatrix;

/// `A B`.
///
/// # Panics
/// If the inner extents differ.
#[must_use]
pub fn product(a: &HostMatrix, b: &HostMatrix) -> HostMatrix {
    assert_eq!(a.cols, b.rows, "inner extents of a product");
    if b.cols < LANES.min(a.rows) {
        // Narrow outputs would leave lanes idle.
        return Arch::new().dispatch(Product(&b.transposed(), &a.transposed())).transposed();
    }
    Arch::new().dispatch(Product(a, b))
}

/// `A^T B`.
///
/// # Panics
/// If the inner extents differ.
#[must_use]
pub fn product_tn(a: &HostMatrix, b: &HostMatrix) -> HostMatrix {
    product(&a.transposed(), b)
}

/// `A B^T`.
///
/// # Panics
/// If the inner extents differ.
#[must_use]
pub fn product_nt(a: &HostMatrix, b: &HostMatrix) -> HostMatrix {
    product(a, &b.transposed())
}

/// `|A| |B|`, entrywise absolute values: the scale of a product's rounding error.
///
/// # Panics
/// If the inner extents differ.
#[must_use]
pub fn absolute_product(a: &HostMatrix, b: &HostMatrix) -> HostMatrix {
    product(&a.map(f64::abs), &b.map(f64::abs))
}

/// The sum of the products of all pairs.
#[must_use]
pub fn dot(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    let mut sum = Compensated::default();
    pairs.for_each(|(x, y)| sum.add(x, y));
    sum.value()
}

/// Columns whose sums run side by side: two registers of four doubles.
const LANES: usize = 8;

/// `A B`, a block of columns after the other. `Arch::dispatch` compiles it for the widest vectors of this processor, where
/// `mul_add` is one instruction and not a call.
struct Product<'a>(&'a HostMatrix, &'a HostMatrix);

impl NullaryFnOnce for Product<'_> {
    type Output = HostMatrix;

    #[inline(always)]
    fn call(self) -> HostMatrix {
        let Self(a, b) = self;
        let mut out = HostMatrix::zeros(a.rows, b.cols);
        let mut block = vec![[0.0; LANES]; a.cols];
        for first in (0..b.cols).step_by(LANES) {
            let lanes = (b.cols - first).min(LANES);
            for (lane, row) in block.iter_mut().zip(b.data.chunks_exact(b.cols)) {
                lane[..lanes].copy_from_slice(&row[first..][..lanes]);
            }
            for row in 0..a.rows {
                let mut sums = [Compensated::default(); LANES];
                for (x, y) in a.data[row * a.cols..][..a.cols].iter().zip(&block) {
                    for (sum, y) in sums.iter_mut().zip(y) {
                        sum.add(*x, *y);
                    }
                }
                let sums = sums.map(Compensated::value);
                out.data[row * b.cols + first..][..lanes].copy_from_slice(&sums[..lanes]);
            }
        }
        out
    }
}

/// A sum of products, and what its rounding has lost.
#[derive(Clone, Copy, Default)]
struct Compensated {
    sum: f64,
    correction: f64,
}

impl Compensated {
    #[inline(always)]
    fn add(&mut self, x: f64, y: f64) {
        let high = x * y;
        let low = x.mul_add(y, -high);
        let total = self.sum + high;
        let rounded_part = total - self.sum;
        let lost = (self.sum - (total - rounded_part)) + (high - rounded_part);
        self.sum = total;
        self.correction += low + lost;
    }

    fn value(self) -> f64 {
        self.sum + self.correction
    }
}

#[cfg(test)]
mod tests {
    use super::{absolute_product, dot, product, product_nt, product_tn};
    use crate::HostMatrix;
    use crate::inputs::{gaussian, generator};

    #[test]
    fn dot_survives_cancellation() {
        let pairs = [(1e16, 1.0), (3.0, 0.5), (-1e16, 1.0)];
        assert_eq!(dot(pairs.into_iter()), 1.5);
        let tiny = f64::EPSILON / 2.0;
        assert_eq!(dot([(1.0 + 2.0 * tiny, 1.0 - tiny), (-1.0, 1.0)].into_iter()), tiny * (1.0 - 2.0 * tiny));
    }

    #[test]
    fn every_entry_is_the_dot_product_of_its_row_and_column() {
        let rng = &mut generator("blocks of columns");
        for (rows, inner, cols) in [(1, 5, 1), (3, 4, 7), (9, 3, 2), (2, 6, 8), (5, 33, 19), (17, 2, 16)] {
            let (a, b) = (gaussian(rows, inner, rng), gaussian(inner, cols, rng));
            let entry = |i, j| dot((0..inner).map(|p| (a.at(i, p), b.at(p, j))));
            assert_eq!(product(&a, &b), HostMatrix::from_fn(rows, cols, entry));
        }
    }

    #[test]
    fn products_agree_with_hand_calculation() {
        let a = HostMatrix::from_data(2, 3, vec![1.0, -2.0, 3.0, 4.0, 5.0, -6.0]);
        let b = HostMatrix::from_data(3, 1, vec![1.0, 2.0, 3.0]);
        assert_eq!(product(&a, &b).data, [6.0, -4.0]);
        assert_eq!(absolute_product(&a, &b).data, [14.0, 32.0]);
        assert_eq!(product_tn(&a.transposed(), &b), product(&a, &b));
        assert_eq!(product_nt(&a, &b.transposed()), product(&a, &b));
        assert_eq!(product(&HostMatrix::zeros(2, 0), &HostMatrix::zeros(0, 3)), HostMatrix::zeros(2, 3));
    }
}
