//! Matrix products in twice the working precision.
//!
//! Each entry is a dot product by the compensated algorithm Dot2 of Ogita, Rump and Oishi (Accurate sum and dot
//! product, SIAM J. Sci. Comput. 26, 2005): its result is as good as if computed in twice the precision and rounded
//! once, so a double-precision backend is measured against something better than itself.

use crate::HostMatrix;

/// `A B`.
///
/// # Panics
/// If the inner extents differ.
#[must_use]
pub fn product(a: &HostMatrix, b: &HostMatrix) -> HostMatrix {
    assert_eq!(a.cols, b.rows, "inner extents of a product");
    product_nt(a, &b.transposed())
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
    assert_eq!(a.cols, b.cols, "inner extents of a product");
    let inner = a.cols;
    let mut out = HostMatrix::zeros(a.rows, b.rows);
    for i in 0..a.rows {
        let left = &a.data[i * inner..][..inner];
        let right = |j: usize| &b.data[j * inner..][..inner];
        for j in (0..b.rows).step_by(4) {
            let out = &mut out.data[i * b.rows + j..][..(b.rows - j).min(4)];
            match out {
                [_, _, _, _] => out
                    .copy_from_slice(&four_dots(left, [right(j), right(j + 1), right(j + 2), right(j + 3)])),
                _ => {
                    for (offset, out) in out.iter_mut().enumerate() {
                        *out = dot(left.iter().copied().zip(right(j + offset).iter().copied()));
                    }
                }
            }
        }
    }
    out
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

/// Four dot products with the same vector: their chains of additions run side by side.
fn four_dots(left: &[f64], right: [&[f64]; 4]) -> [f64; 4] {
    let mut sums = [Compensated::default(); 4];
    let [a, b, c, d] = right;
    for (x, (((a, b), c), d)) in left.iter().zip(a.iter().zip(b).zip(c).zip(d)) {
        for (sum, y) in sums.iter_mut().zip([a, b, c, d]) {
            sum.add(*x, *y);
        }
    }
    sums.map(|sum| sum.value())
}

/// A sum of products, and what its rounding has lost.
#[derive(Clone, Copy, Default)]
struct Compensated {
    sum: f64,
    correction: f64,
}

impl Compensated {
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

    #[test]
    fn dot_survives_cancellation() {
        let pairs = [(1e16, 1.0), (3.0, 0.5), (-1e16, 1.0)];
        assert_eq!(dot(pairs.into_iter()), 1.5);
        let tiny = f64::EPSILON / 2.0;
        assert_eq!(dot([(1.0 + 2.0 * tiny, 1.0 - tiny), (-1.0, 1.0)].into_iter()), tiny * (1.0 - 2.0 * tiny));
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
