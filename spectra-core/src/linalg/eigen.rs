//! Eigenvectors of a symmetric matrix on the host, whatever the signs of its eigenvalues.

use super::jacobi;
use crate::backend::Element;

/// Convergence is quadratic; 30 is never reached.
const SWEEPS: usize = 30;

/// Jacobi's rotations of the symmetric k x k matrix `a`: the rows of `vectors` become orthonormal eigenvectors, `values` their
/// eigenvalues, in no order. `a` is overwritten.
///
/// A rotation is left out where the entry is below the rounding error of the largest one, so that what remains beside the
/// diagonal is no more than `k eps max_ij |A_ij|` (Golub and Van Loan 2013, section 8.5).
pub(super) fn rotate(k: usize, a: &mut [f64], vectors: &mut [f64], values: &mut [f64]) {
    vectors.fill(0.0);
    vectors.iter_mut().step_by(k + 1).for_each(|x| *x = 1.0);
    let noise = f64::EPSILON * a.iter().fold(0.0f64, |largest, x| largest.max(libm::fabs(*x)));
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for p in 0..k {
            for q in p + 1..k {
                let (pp, pq, qq) = (a[p * k + p], a[p * k + q], a[q * k + q]);
                if libm::fabs(pq) <= noise {
                    continue;
                }
                rotated = true;
                let zeta = (qq - pp) / (2.0 * pq);
                let sign = if zeta < 0.0 { -1.0 } else { 1.0 };
                let t = sign / (sign * zeta + libm::sqrt(1.0 + zeta * zeta));
                let cos = 1.0 / libm::sqrt(1.0 + t * t);
                turn(k, a, (p, q), (cos, cos * t));
                turn(k, vectors, (p, q), (cos, cos * t));
                // The rows hold what the columns become, but for the four entries where they cross.
                for i in 0..k {
                    a[i * k + p] = a[p * k + i];
                    a[i * k + q] = a[q * k + i];
                }
                (a[p * k + p], a[q * k + q]) = (pp - t * pq, qq + t * pq);
                (a[p * k + q], a[q * k + p]) = (0.0, 0.0);
            }
        }
        if !rotated {
            break;
        }
    }
    for (value, x) in values.iter_mut().zip(a.iter().step_by(k + 1)) {
        *value = *x;
    }
}

/// Rows p and q become `cos x - sin y` and `sin x + cos y`.
fn turn(k: usize, rows: &mut [f64], (p, q): (usize, usize), (cos, sin): (f64, f64)) {
    let (before, rest) = rows.split_at_mut(q * k);
    for (x, y) in before[p * k..][..k].iter_mut().zip(&mut rest[..k]) {
        (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
    }
}

/// `V diag((lambda_j + shift)^power)`, eigenvalues decreasing, `shift = ridge + max(0, -smallest)`; `V` itself for the power 0.
///
/// Eigenvalues that are no more than rounding errors of a Gram matrix in E have eigenvectors of noise. In V unit vectors made orthogonal
/// to the others take their place: the same ones whatever the noise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EigenForm {
    pub(crate) ridge: f64,
    pub(crate) power: f64,
}

impl EigenForm {
    /// What rounding makes of a zero eigenvalue of a k x k Gram matrix with this largest one.
    pub(crate) fn noise<E: Element>(k: usize, largest: f64) -> f64 {
        4.0 * libm::sqrt(k as f64) * E::EPSILON * largest
    }

    /// By which an eigenvector is multiplied; `smallest`: the least eigenvalue, or 0 if that is less.
    pub(crate) fn factor(self, lambda: f64, smallest: f64) -> f64 {
        libm::pow(lambda - smallest + self.ridge, self.power)
    }
}

/// `out`: the form. The rows of `rows` are eigenvectors with the eigenvalues `values`, in any order; they are overwritten. `order`: k
/// numbers of working memory.
pub(super) fn assemble<E: Element>(
    form: EigenForm,
    rows: &mut [f64],
    values: &mut [f64],
    order: &mut [f64],
    out: &mut [E],
) {
    let (k, power) = (values.len(), form.power);
    if power == 0.0 {
        jacobi::sort_rows(k, rows, values, |x, y| libm::fabs(x) > libm::fabs(y));
        let noise = EigenForm::noise::<E>(k, libm::fabs(values[0]));
        for (value, row) in values.iter_mut().zip(rows.chunks_exact_mut(k)) {
            if libm::fabs(*value) <= noise {
                *value = 0.0;
                row.fill(0.0);
            }
        }
        jacobi::complete(k, rows, values);
    }
    jacobi::sort(values, order);
    let smallest = values.iter().fold(0.0f64, |smallest, x| smallest.min(*x));
    if power != 0.0 {
        values.iter_mut().for_each(|x| *x = form.factor(*x, smallest));
    }
    for (i, row) in out.chunks_exact_mut(k).enumerate() {
        for (x, j) in row.iter_mut().zip(order.iter().map(|j| *j as usize)) {
            let factor = if power == 0.0 { 1.0 } else { values[j] };
            *x = E::narrow(factor * rows[j * k + i]);
        }
    }
}

/// The permutation matrix `P` for which the columns of `Q P` are those of Q in the order in which the diagonal of the row-major
/// k x k matrix `values` decreases.
pub(super) fn sorter<E: Element>(k: usize, values: &mut [E], diagonal: &mut [f64], order: &mut [f64]) {
    for (d, x) in diagonal.iter_mut().zip(values.iter().step_by(k + 1)) {
        *d = x.widen();
    }
    jacobi::sort(diagonal, order);
    values.fill(E::zero());
    for (j, i) in order.iter().enumerate() {
        values[*i as usize * k + j] = E::one();
    }
}

#[cfg(test)]
mod tests {
    use crate::linalg::{Scratch, SmallFactor, uniform};
    use alloc::{vec, vec::Vec};

    /// A symmetric matrix with eigenvalues of both signs, some of them zero.
    fn symmetric(k: usize) -> Vec<f64> {
        let root = |r: usize, j: usize| uniform(3, r, j);
        let sign = |r: usize| [1.0, -1.0, 0.0, 4.0][r % 4];
        let entry = |i: usize, j: usize| (0..k).map(|r| sign(r) * root(r, i) * root(r, j)).sum();
        (0..k * k).map(|at| entry(at / k, at % k)).collect()
    }

    fn factor(factor: SmallFactor, k: usize, a: &[f64]) -> Vec<f64> {
        let mut scratch = Scratch::<f64>::new();
        scratch.slices(k * k, 0).0.copy_from_slice(a);
        scratch.factorize(factor, k);
        scratch.slices(k * k, 0).0.to_vec()
    }

    /// `X^T Y` or `X Y^T`.
    fn product(k: usize, x: &[f64], y: &[f64], of_rows: bool) -> Vec<f64> {
        let at = |x: &[f64], i: usize, j: usize| if of_rows { x[i * k + j] } else { x[j * k + i] };
        (0..k * k).map(|ij| (0..k).map(|r| at(x, ij / k, r) * at(y, ij % k, r)).sum()).collect()
    }

    /// By rotations (12) and, with faer, by its solver (70).
    #[test]
    fn eigenvectors_of_indefinite_matrices_come_in_decreasing_order() {
        for k in [1, 2, 12, 70] {
            let a = symmetric(k);
            let v = factor(SmallFactor::EIGENVECTORS, k, &a);
            let largest = a.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
            // Rotations leave k eps max|A|, and k products as many roundings.
            let noise = 4.0 * k as f64 * f64::EPSILON;
            let av: Vec<f64> = product(k, &a, &v, false);
            let diagonal = product(k, &v, &av, false);
            let identity = product(k, &v, &v, false);
            for ij in 0..k * k {
                let is_diagonal = ij / k == ij % k;
                assert!((identity[ij] - f64::from(u8::from(is_diagonal))).abs() < noise);
                assert!(
                    is_diagonal || diagonal[ij].abs() < noise * k as f64 * largest,
                    "{k}: {}",
                    diagonal[ij]
                );
            }
            let mut values = diagonal.iter().step_by(k + 1);
            assert!(values.clone().zip(values.by_ref().skip(1)).all(|(x, y)| *x >= y - noise * largest));
        }
    }

    /// `F F^T = (A + ridge)^(2 power)` of a positive definite A: times A + ridge it is the identity.
    #[test]
    fn inverse_roots() {
        let (k, ridge) = (9, 0.5);
        let root: Vec<f64> = (0..k * k).map(|at| uniform(5, at / k, at % k)).collect();
        let a = product(k, &root, &root, false);
        let f = factor(SmallFactor::Eigen { ridge, power: -0.5 }, k, &a);
        let inverse = product(k, &f, &f, true);
        let mut shifted = a.clone();
        shifted.iter_mut().step_by(k + 1).for_each(|x| *x += ridge);
        // Symmetric both, so that columns are rows.
        for (ij, x) in product(k, &shifted, &inverse, true).iter().enumerate() {
            // Condition below 40, 9 products, two roots.
            assert!((x - f64::from(u8::from(ij / k == ij % k))).abs() < 1e-13, "{x}");
        }
        // A zero matrix has the ridge alone, and an indefinite one is shifted above it.
        assert_eq!(
            factor(SmallFactor::Eigen { ridge: 0.25, power: -0.5 }, 2, &[0.0; 4]),
            [2.0, 0.0, 0.0, 2.0]
        );
        let f = factor(SmallFactor::Eigen { ridge: 0.25, power: -0.5 }, 2, &[-2.0, 0.0, 0.0, 1.75]);
        assert_eq!(f, [0.0, 2.0, 0.5, 0.0]);
    }

    /// Of a Gram matrix of rank 3 and one that differs by rounding errors, the null space included.
    #[test]
    fn eigenvectors_do_not_depend_on_rounding_errors() {
        for k in [6, 70] {
            let column = |r: usize, j: usize| uniform(9, r, j) * (r + 1) as f64;
            let entry = |i: usize, j: usize| (0..3).map(|r| column(r, i) * column(r, j)).sum::<f64>();
            let a: Vec<f64> = (0..k * k).map(|at| entry(at / k, at % k)).collect();
            let noisy = |at: usize| a[at] * (1.0 + f64::EPSILON * uniform(2, at / k * (at % k), 1));
            let b: Vec<f64> = (0..k * k).map(noisy).collect();
            let (v, w) = (factor(SmallFactor::EIGENVECTORS, k, &a), factor(SmallFactor::EIGENVECTORS, k, &b));
            for j in 0..k {
                let along: f64 = (0..k).map(|i| v[i * k + j] * w[i * k + j]).sum();
                // Noise of k eps over gaps of a tenth at least turns a vector by less.
                assert!((along.abs() - 1.0).abs() < 1e-12, "{k}: column {j}: {along}");
            }
        }
        assert_eq!(factor(SmallFactor::EIGENVECTORS, 2, &[0.0; 4]), [1.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn what_is_no_number_stays_none() {
        let f = factor(SmallFactor::EIGENVECTORS, 2, &[1.0, f64::NAN, f64::NAN, 2.0]);
        assert!(f.iter().all(|x| x.is_nan()), "{f:?}");
    }

    #[test]
    fn sorter_permutes_columns_by_the_diagonal() {
        let p = factor(SmallFactor::Sorter, 3, &[1.0, 9.0, 9.0, 9.0, -2.0, 9.0, 9.0, 9.0, 5.0]);
        assert_eq!(p, vec![0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    }
}
