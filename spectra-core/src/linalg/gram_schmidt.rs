//! Classical Gram-Schmidt with re-orthogonalisation on the host: slow, stable, for ill-conditioned columns.

use super::jacobi::dot;
use crate::backend::Element;

/// Orthonormalises the `k` columns of the row-major m x k matrix `values` in order, in `f64`, each against the
/// earlier ones twice ("twice is enough", Giraud, Langou, Rozložník 2005). A column of which less than
/// `4 eps` is left becomes zero. `work`: m k numbers.
pub fn gram_schmidt<E: Element>(m: usize, k: usize, values: &mut [E], work: &mut [f64]) {
    // Column-major copy: every inner product runs over contiguous memory.
    for j in 0..k {
        for i in 0..m {
            work[j * m + i] = values[i * k + j].widen();
        }
    }
    for j in 0..k {
        let (done, rest) = work.split_at_mut(j * m);
        let column = &mut rest[..m];
        // Scale by the largest entry: squares of 1e-200 or 1e200 must not leave the range.
        let scale = column.iter().fold(0.0f64, |a, x| if x.is_nan() { *x } else { a.max(libm::fabs(*x)) });
        if scale == 0.0 {
            continue;
        }
        column.iter_mut().for_each(|x| *x /= scale);
        let before = norm(column);
        for _ in 0..2 {
            for q in done.chunks_exact(m) {
                let projection = dot(q, column);
                column.iter_mut().zip(q).for_each(|(x, q)| *x -= projection * q);
            }
        }
        let after = norm(column);
        let inverse = if after <= 4.0 * E::EPSILON * before { 0.0 } else { 1.0 / after };
        column.iter_mut().for_each(|x| *x *= inverse);
    }
    for j in 0..k {
        for i in 0..m {
            values[i * k + j] = E::narrow(work[j * m + i]);
        }
    }
}

fn norm(x: &[f64]) -> f64 {
    libm::sqrt(dot(x, x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_parallel_columns_become_orthonormal() {
        // Läuchli: columns (1, e, 0), (1, 0, e) with e^2 below eps, where a Gram matrix is singular.
        let e = 1e-9;
        let mut a = [1.0f64, 1.0, e, 0.0, 0.0, e];
        gram_schmidt(3, 2, &mut a, &mut [0.0; 6]);
        let dot = a[0] * a[1] + a[2] * a[3] + a[4] * a[5];
        let norm = a[1] * a[1] + a[3] * a[3] + a[5] * a[5];
        assert!(dot.abs() < 4.0 * f64::EPSILON && (norm - 1.0).abs() < 4.0 * f64::EPSILON, "{a:?}");
    }

    #[test]
    fn dependent_column_is_zero() {
        let mut a = [1.0f32, 3.0, 2.0, 6.0];
        gram_schmidt(2, 2, &mut a, &mut [0.0; 4]);
        assert_eq!([a[1], a[3]], [0.0, 0.0]);
    }
}
