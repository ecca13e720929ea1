//! Factorisations of k x k Gram matrices on the host, in `f64`.

use super::eigen::{self, EigenForm};
use super::jacobi;
use crate::backend::Element;

/// Which small factor [`Fused::small_factor`](crate::backend::Fused::small_factor) computes of the Gram
/// matrix `C` (symmetric positive semidefinite, k x k).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SmallFactor {
    /// `R^-1` of the Cholesky factor `C = R^T R`, R upper triangular with a non-negative diagonal. The columns
    /// are scaled to unit length first, so only the angles between them condition the result. A column that
    /// is zero or numerically dependent on earlier ones gets a zero column in `R^-1`.
    CholeskyInverse,
    /// `diag(1 / sqrt(C_jj))`, 0 where `C_jj` is 0: normalises the columns whose Gram matrix is `C`.
    ColumnNormalizer,
    /// The orthogonal `B` for which `B^T C B` is diagonal and decreasing, computed from the scaled Cholesky
    /// factor by one-sided Jacobi rotations: small eigenvalues keep their relative accuracy. (Large ones in `f32` by faer's
    /// solver in `f64`, where that feature is on: what it leaves between two columns is below the rounding of `f32`.)
    Diagonalizer,
    /// `V diag((lambda_j + shift)^power)` of a symmetric `C = V diag(lambda) V^T`, definite or not, with decreasing eigenvalues
    /// and `shift = ridge + max(0, -smallest eigenvalue)`: times its own transpose `(C + shift I)^(2 power)`. `V` itself for the power
    /// 0. Eigenvalues have the absolute accuracy `eps max |lambda|`. By two-sided Jacobi rotations in `f64`; large ones by faer's
    /// solver in the element type, where that feature is on. In V unit vectors made orthogonal to the others stand for the eigenvectors of
    /// eigenvalues that are rounding errors, so that V does not depend on them. A NaN or an infinity makes all entries NaN.
    Eigen {
        /// Added to the eigenvalues; positive where the power is negative.
        ridge: f64,
        /// Of the shifted eigenvalues.
        power: f64,
    },
    /// The permutation matrix `P` that puts columns in the order in which the diagonal of C, any square matrix, decreases:
    /// those of `Q P` are the sorted columns of Q. Equal ones keep their order.
    Sorter,
}

/// What a small factorisation found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SmallInfo {
    /// Columns that are zero or, but for [`SmallFactor::ColumnNormalizer`], depend numerically on earlier ones.
    pub dead: usize,
    /// The largest `1 / pivot^2` of the scaled Cholesky factor over the live columns: a lower bound, in
    /// practice within a factor k, of the condition number of the scaled Gram matrix. 1 for orthogonal columns, and
    /// from [`SmallFactor::ColumnNormalizer`], which does not look for it.
    pub condition: f64,
}

impl SmallFactor {
    /// The orthogonal V whose columns are the eigenvectors of C, those of the largest eigenvalues first.
    pub const EIGENVECTORS: Self = Self::Eigen { ridge: 0.0, power: 0.0 };

    /// How many `f64` of working memory [`compute`](Self::compute) needs.
    pub fn numbers(self, k: usize) -> usize {
        2 * k * k + 2 * k
    }

    /// Replaces the row-major Gram matrix in `values` by the factor. `numbers`: at least
    /// [`numbers`](Self::numbers)`(k)` long, contents irrelevant.
    ///
    /// An empty matrix has an empty factor.
    pub fn compute<E: Element>(self, k: usize, values: &mut [E], numbers: &mut [f64]) -> SmallInfo {
        if k == 0 {
            return SmallInfo { dead: 0, condition: 1.0 };
        }
        let (c, rest) = numbers.split_at_mut(k * k);
        let (out, rest) = rest.split_at_mut(k * k);
        let (length, order) = rest[..2 * k].split_at_mut(k);
        let nothing_found = SmallInfo { dead: 0, condition: 1.0 };
        match self {
            Self::Sorter => {
                eigen::sorter(k, values, length, order);
                return nothing_found;
            }
            Self::Eigen { .. } if values.iter().any(|x| !x.is_finite()) => {
                values.fill(E::narrow(f64::NAN));
                return nothing_found;
            }
            _ => {}
        }
        for (c, x) in c.iter_mut().zip(values.iter()) {
            *c = x.widen();
        }
        // A Gram matrix accumulated in E knows the cosine between two columns to about k eps; below this
        // squared sine a column's own direction is noise.
        let dependent = 4.0 * k as f64 * E::EPSILON;
        let mut info = lengths(k, c, length);
        match self {
            Self::CholeskyInverse => {
                scaled_cholesky(k, c, length, dependent, &mut info);
                inverse_of_scaled(k, c, length, out);
            }
            Self::ColumnNormalizer => {
                out.fill(0.0);
                info.dead = length.iter().filter(|length| **length == 0.0).count();
                for j in 0..k {
                    out[j * k + j] = inverse_of_length(length[j]);
                }
            }
            Self::Diagonalizer => {
                jacobi::sort(length, order);
                for (row, i) in out.chunks_exact_mut(k).zip(order.iter()) {
                    let from = &c[*i as usize * k..][..k];
                    row.iter_mut().zip(order.iter()).for_each(|(x, j)| *x = from[*j as usize]);
                }
                c.copy_from_slice(out);
                length.sort_unstable_by(|x, y| y.total_cmp(x));
                scaled_cholesky(k, c, length, dependent, &mut info);
                for row in c.chunks_exact_mut(k) {
                    for (x, d) in row.iter_mut().zip(length.iter()) {
                        *x *= d;
                    }
                }
                jacobi::diagonalize(k, c, order, out, length);
            }
            Self::Eigen { ridge, power } => {
                eigen::rotate(k, c, out, length);
                eigen::assemble(EigenForm { ridge, power }, out, length, order, values);
                return nothing_found;
            }
            // Above.
            Self::Sorter => return nothing_found,
        }
        for (x, o) in values.iter_mut().zip(out.iter()) {
            *x = E::narrow(*o);
        }
        info
    }
}

#[cfg(feature = "faer")]
impl SmallFactor {
    /// What [`compute`](Self::compute) would find out about the Gram matrix `c`, which is overwritten.
    pub(super) fn examine<E: Element>(self, k: usize, c: &mut [f64], length: &mut [f64]) -> SmallInfo {
        let mut info = lengths(k, c, length);
        scaled_cholesky(k, c, length, 4.0 * k as f64 * E::EPSILON, &mut info);
        info
    }
}

/// `length_j = sqrt(C_jj)`. A square that has overflowed makes the condition infinite: the Gram matrix says nothing of
/// that column.
fn lengths(k: usize, c: &[f64], length: &mut [f64]) -> SmallInfo {
    let mut condition = 1.0;
    for (j, length) in length.iter_mut().enumerate() {
        let square = c[j * k + j];
        *length = if square > 0.0 { libm::sqrt(square) } else { 0.0 };
        if square == f64::INFINITY {
            condition = f64::INFINITY;
        }
    }
    SmallInfo { dead: 0, condition }
}

fn inverse_of_length(length: f64) -> f64 {
    if length > 0.0 { 1.0 / length } else { 0.0 }
}

/// The upper Cholesky factor of `C_ij / (length_i length_j)` in place, zeros below the diagonal. Dead columns get a
/// zero row and diagonal. It goes along rows: neighbours in memory are worked on together.
fn scaled_cholesky(k: usize, c: &mut [f64], length: &[f64], dependent: f64, info: &mut SmallInfo) {
    for j in 0..k {
        let (above, rest) = c.split_at_mut(j * k);
        let row = &mut rest[..k];
        row[..j].fill(0.0);
        row[j] = if length[j] > 0.0 { 1.0 } else { 0.0 };
        let scale = inverse_of_length(length[j]);
        for (x, length) in row.iter_mut().zip(length).skip(j + 1) {
            *x = *x * inverse_of_length(*length) * scale;
        }
        for above in above.chunks_exact(k) {
            let factor = above[j];
            for (x, a) in row[j..].iter_mut().zip(&above[j..]) {
                *x -= factor * a;
            }
        }
        let pivot = row[j];
        // NaN is alive: it must reach the caller, not be mistaken for a dependent column.
        if pivot <= dependent {
            info.dead += 1;
            row.fill(0.0);
            continue;
        }
        info.condition = info.condition.max(1.0 / pivot);
        let root = libm::sqrt(pivot);
        row[j] = root;
        for x in &mut row[j + 1..] {
            *x /= root;
        }
    }
}

/// `out = diag(1 / length) R^-1` for the scaled upper factor `R`; dead columns become zero.
fn inverse_of_scaled(k: usize, r: &[f64], length: &[f64], out: &mut [f64]) {
    out.fill(0.0);
    for (i, row) in out.chunks_exact_mut(k).enumerate() {
        // Until its turn comes, row[j] holds the sum of the products with the columns before it.
        for j in i..k {
            let diagonal = r[j * k + j];
            row[j] = match diagonal {
                0.0 => 0.0,
                _ if i == j => 1.0 / diagonal,
                _ => -row[j] / diagonal,
            };
            let factor = row[j];
            for (sum, r) in row[j + 1..].iter_mut().zip(&r[j * k + j + 1..]) {
                *sum += factor * r;
            }
        }
        let scale = inverse_of_length(length[i]);
        row.iter_mut().for_each(|x| *x *= scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{vec, vec::Vec};

    fn gram(m: usize, k: usize, a: &[f64]) -> Vec<f64> {
        let mut c = vec![0.0; k * k];
        for i in 0..k {
            for j in 0..k {
                c[i * k + j] = (0..m).map(|r| a[r * k + i] * a[r * k + j]).sum();
            }
        }
        c
    }

    fn product(k: usize, a: &[f64], b: &[f64]) -> Vec<f64> {
        let mut c = vec![0.0; a.len() / k * k];
        for (row, out) in a.chunks_exact(k).zip(c.chunks_exact_mut(k)) {
            for j in 0..k {
                out[j] = (0..k).map(|p| row[p] * b[p * k + j]).sum();
            }
        }
        c
    }

    /// Columns of lengths 1e-12, 1, 1e12: only the angles may matter.
    const BADLY_SCALED: [f64; 12] =
        [1e-12, 2.0, 3e12, -2e-12, 1.0, 1e12, 3e-12, 1.0, -1e12, 1e-12, -1.0, 2e12];

    fn compute(factor: SmallFactor, k: usize, c: &[f64]) -> (Vec<f64>, SmallInfo) {
        let mut values = c.to_vec();
        let mut numbers = vec![f64::NAN; factor.numbers(k)];
        let info = factor.compute(k, &mut values, &mut numbers);
        (values, info)
    }

    #[test]
    fn cholesky_inverse_orthonormalises_badly_scaled_columns() {
        let (t, info) = compute(SmallFactor::CholeskyInverse, 3, &gram(4, 3, &BADLY_SCALED));
        let q = product(3, &BADLY_SCALED, &t);
        let identity = gram(4, 3, &q);
        for (i, x) in identity.iter().enumerate() {
            let expected = if i % 4 == 0 { 1.0 } else { 0.0 };
            // eps * condition, a few roundings.
            assert!((x - expected).abs() < 16.0 * f64::EPSILON * info.condition, "{identity:?}");
        }
        assert_eq!(info.dead, 0);
        assert!(t[3] == 0.0 && t[6] == 0.0 && t[7] == 0.0, "not upper triangular: {t:?}");
    }

    #[test]
    fn a_dependent_column_is_dead_and_the_others_are_not() {
        let a = [1.0, 2.0, 0.0, 1.0, 2.0, 1.0, 0.0, 0.0, 1.0];
        let (t, info) = compute(SmallFactor::CholeskyInverse, 3, &gram(3, 3, &a));
        assert_eq!(info.dead, 1);
        assert_eq!([t[1], t[4], t[7]], [0.0; 3]);
        let q = product(3, &a, &t);
        let c = gram(3, 3, &q);
        assert!((c[0] - 1.0).abs() < 1e-15 && (c[8] - 1.0).abs() < 1e-15 && c[2].abs() < 1e-15, "{c:?}");
    }

    #[test]
    fn diagonalizer_keeps_relative_accuracy() {
        // C = D K D with lengths D = 1, 1e-5, 1e-10 and cosines of 0.5 in K: eigenvalues over 20 orders of
        // magnitude. B^T C B must be diagonal relative to its own diagonal, not to its largest entry.
        let d = [1.0, 1e-5, 1e-10];
        let c: Vec<f64> =
            (0..9).map(|i| d[i / 3] * d[i % 3] * if i / 3 == i % 3 { 1.0 } else { 0.5 }).collect();
        let (b, _) = compute(SmallFactor::Diagonalizer, 3, &c);
        let identity = gram(3, 3, &b);
        for i in 0..9 {
            let expected = if i % 4 == 0 { 1.0 } else { 0.0 };
            assert!((identity[i] - expected).abs() < 16.0 * f64::EPSILON, "{identity:?}");
        }
        // Exact eigenvalues to first order in the ratios: 1, (1 - 1/4) 1e-10, (1 - 1/4 - 1/12) 1e-20.
        let (mut values, mut numbers) = (c.clone(), vec![0.0; 24]);
        SmallFactor::Diagonalizer.compute(3, &mut values, &mut numbers);
        let norms = &numbers[18..21];
        for (norm, exact) in norms.iter().zip([1.0, 0.75e-10, 2.0 / 3.0 * 1e-20]) {
            // The neglected terms are the squares of the ratios, 1e-10.
            assert!((norm * norm / exact - 1.0).abs() < 1e-9, "{norms:?}");
        }
    }

    #[test]
    fn an_empty_matrix_has_an_empty_factor() {
        for factor in [SmallFactor::CholeskyInverse, SmallFactor::ColumnNormalizer, SmallFactor::Diagonalizer]
        {
            let (values, info) = compute(factor, 0, &[]);
            assert!(values.is_empty() && info == SmallInfo { dead: 0, condition: 1.0 }, "{factor:?}");
        }
    }

    #[test]
    fn zero_and_overflow_are_told_apart() {
        let (t, info) = compute(SmallFactor::ColumnNormalizer, 2, &[0.0, 0.0, 0.0, 4.0]);
        assert_eq!((t, info.dead), (vec![0.0, 0.0, 0.0, 0.5], 1));
        let (t, _) = compute(SmallFactor::CholeskyInverse, 1, &[0.0]);
        assert_eq!(t, [0.0]);
        let (_, info) = compute(SmallFactor::CholeskyInverse, 2, &[1.0, 0.0, 0.0, f64::INFINITY]);
        assert_eq!(info.condition, f64::INFINITY);
    }

    #[test]
    fn nothing_is_diagonal() {
        for factor in [SmallFactor::CholeskyInverse, SmallFactor::ColumnNormalizer, SmallFactor::Diagonalizer]
        {
            let (b, info) = compute(factor, 0, &[]);
            assert!(b.is_empty() && info.dead == 0, "{factor:?}");
        }
    }

    #[test]
    fn zero_and_dependent_columns_leave_the_diagonalizer_orthogonal() {
        // The second column is zero, the fourth twice the first.
        let a = [1.0, 0.0, 2.0, 2.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, -1.0, 2.0];
        for c in [gram(3, 4, &a), vec![0.0; 16]] {
            let (b, _) = compute(SmallFactor::Diagonalizer, 4, &c);
            let identity = gram(4, 4, &b);
            let values = product(4, &c, &b);
            let diagonal: Vec<f64> =
                (0..16).map(|i| (0..4).map(|r| b[r * 4 + i / 4] * values[r * 4 + i % 4]).sum()).collect();
            for i in 0..16 {
                let expected = if i % 5 == 0 { 1.0 } else { 0.0 };
                assert!((identity[i] - expected).abs() < 16.0 * f64::EPSILON, "{identity:?}");
                assert!(i % 5 == 0 || diagonal[i].abs() < 64.0 * f64::EPSILON * 12.0, "{diagonal:?}");
            }
            assert!(diagonal[0] >= diagonal[5] && diagonal[5] >= diagonal[10], "{diagonal:?}");
        }
    }
}
