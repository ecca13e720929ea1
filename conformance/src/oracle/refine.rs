//! A singular value decomposition made more exact by rotations (Hestenes 1958).

use super::product::{dot, product};
use super::svd::Svd;
use crate::HostMatrix;

/// Each sweep squares the cosines that are left; a decomposition that is right to 1e-12 needs two.
const SWEEPS: usize = 6;

/// `M = B V^T` for `B = M V`; rotating columns of B and V alike until those of B are orthogonal leaves `B = U diag(sigma)`.
///
/// `M - U diag(sigma) V^T = M (I - V V^T)` then, whatever the iteration before made of clusters of singular values: it must
/// only have given an orthogonal V. Not for matrices with zero singular values, whose `u` keep their places.
pub(super) fn refined(svd: Svd, matrix: &HostMatrix) -> Svd {
    if matrix.rows < matrix.cols {
        // A square V has nothing outside of its span.
        let turned = refined(Svd { u: svd.v, v: svd.u, ..svd }, &matrix.transposed());
        return Svd { u: turned.v, v: turned.u, ..turned };
    }
    let r = svd.sigma.len();
    let mut b = columns(&product(matrix, &svd.v));
    let mut v = columns(&svd.v);
    let enough = f64::EPSILON * (matrix.rows as f64).sqrt();
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for p in 0..r {
            for q in p + 1..r {
                let (pp, qq, pq) = (inner(&b[p], &b[p]), inner(&b[q], &b[q]), inner(&b[p], &b[q]));
                if pq.abs() > enough * pp.sqrt() * qq.sqrt() {
                    rotated = true;
                    let zeta = (qq - pp) / (2.0 * pq);
                    let t = 1.0_f64.copysign(zeta) / (zeta.abs() + zeta.hypot(1.0));
                    let cos = 1.0 / t.hypot(1.0);
                    rotate(&mut b, (p, q), cos, cos * t);
                    rotate(&mut v, (p, q), cos, cos * t);
                }
            }
        }
        if !rotated {
            break;
        }
    }
    let lengths: Vec<f64> = b.iter().map(|b| inner(b, b).sqrt()).collect();
    let mut order: Vec<usize> = (0..r).collect();
    order.sort_by(|i, j| lengths[*j].total_cmp(&lengths[*i]));
    let u = HostMatrix::from_fn(matrix.rows, r, |row, j| match lengths[order[j]] {
        0.0 => svd.u.at(row, order[j]),
        length => b[order[j]][row] / length,
    });
    let sigma = order.iter().map(|j| lengths[*j]).collect();
    Svd { u, sigma, v: HostMatrix::from_fn(matrix.cols, r, |row, j| v[order[j]][row]) }
}

fn columns(matrix: &HostMatrix) -> Vec<Vec<f64>> {
    (0..matrix.cols).map(|col| (0..matrix.rows).map(|row| matrix.at(row, col)).collect()).collect()
}

fn inner(x: &[f64], y: &[f64]) -> f64 {
    dot(x.iter().copied().zip(y.iter().copied()))
}

fn rotate(columns: &mut [Vec<f64>], (p, q): (usize, usize), cos: f64, sin: f64) {
    let (before, rest) = columns.split_at_mut(q);
    for (x, y) in before[p].iter_mut().zip(&mut rest[0]) {
        (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A decomposition whose clusters are off by 1e-11 comes out exact, in order.
    #[test]
    fn what_is_nearly_a_decomposition_becomes_one() {
        for matrix in [nearly_orthogonal(7, 5), nearly_orthogonal(5, 7)] {
            check(&matrix);
        }
    }

    fn nearly_orthogonal(rows: usize, cols: usize) -> HostMatrix {
        HostMatrix::from_fn(rows, cols, |i, j| {
            let identity = f64::from(u8::from(i == j));
            identity + 1e-9 * ((3 * i + 5 * j) % 7) as f64
        })
    }

    fn check(matrix: &HostMatrix) {
        let exact = Svd::of(matrix).expect("finite");
        let mut off = exact.clone();
        off.sigma.iter_mut().for_each(|sigma| *sigma *= 1.0 + 1e-11);
        let again = refined(off, matrix);
        for (a, b) in again.sigma.iter().zip(&exact.sigma) {
            assert!((a - b).abs() < 8.0 * f64::EPSILON, "{a} {b}");
        }
        let residual = crate::distance::relative_distance(&again.with_values(&again.sigma), matrix, 1.0);
        assert!(residual < 16.0 * f64::EPSILON, "{residual:e}");
    }
}
