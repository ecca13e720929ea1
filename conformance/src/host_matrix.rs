//! A plain matrix on the host, in double precision.

use core::fmt;

use crate::Precision;

/// A row-major matrix of doubles: what the inputs, the oracle and the downloads of a backend share.
#[derive(Clone, PartialEq)]
pub struct HostMatrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// `rows * cols` entries, row after row.
    pub data: Vec<f64>,
}

impl HostMatrix {
    /// The matrix with entry `entry(row, column)`.
    #[must_use]
    pub fn from_fn(rows: usize, cols: usize, mut entry: impl FnMut(usize, usize) -> f64) -> Self {
        let mut data = Vec::with_capacity(rows * cols);
        for row in 0..rows {
            for col in 0..cols {
                data.push(entry(row, col));
            }
        }
        Self { rows, cols, data }
    }

    /// The matrix with the given row-major entries.
    ///
    /// # Panics
    /// If there are not `rows * cols` of them.
    #[must_use]
    pub fn from_data(rows: usize, cols: usize, data: Vec<f64>) -> Self {
        assert_eq!(data.len(), rows * cols, "a {rows} x {cols} matrix needs {} entries", rows * cols);
        Self { rows, cols, data }
    }

    /// The matrix of zeros.
    #[must_use]
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self { rows, cols, data: vec![0.0; rows * cols] }
    }

    /// The identity of the given order.
    #[must_use]
    pub fn identity(order: usize) -> Self {
        Self::from_fn(order, order, |row, col| if row == col { 1.0 } else { 0.0 })
    }

    /// One column with the given entries.
    #[must_use]
    pub fn column(entries: &[f64]) -> Self {
        Self { rows: entries.len(), cols: 1, data: entries.to_vec() }
    }

    /// The entry at `(row, col)`.
    ///
    /// # Panics
    /// If the position lies outside.
    #[must_use]
    pub fn at(&self, row: usize, col: usize) -> f64 {
        assert!(col < self.cols, "column {col} of {}", self.cols);
        self.data[row * self.cols + col]
    }

    /// Both extents, rows first.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    /// `min(rows, cols)`, the number of singular values.
    #[must_use]
    pub fn min_extent(&self) -> usize {
        self.rows.min(self.cols)
    }

    /// The transpose.
    #[must_use]
    pub fn transposed(&self) -> Self {
        Self::from_fn(self.cols, self.rows, |row, col| self.at(col, row))
    }

    /// The same shape with `f` applied to every entry.
    #[must_use]
    pub fn map(&self, f: impl FnMut(f64) -> f64) -> Self {
        Self { rows: self.rows, cols: self.cols, data: self.data.iter().copied().map(f).collect() }
    }

    /// `f` of the entries of `self` and `other` at each position.
    ///
    /// # Panics
    /// If the shapes differ.
    #[must_use]
    pub fn zip(&self, other: &Self, mut f: impl FnMut(f64, f64) -> f64) -> Self {
        assert_eq!(self.shape(), other.shape(), "shapes differ");
        let data = self.data.iter().zip(&other.data).map(|(&a, &b)| f(a, b)).collect();
        Self { rows: self.rows, cols: self.cols, data }
    }

    /// The first `count` columns.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn first_columns(&self, count: usize) -> Self {
        Self::from_fn(self.rows, count, |row, col| self.at(row, col))
    }

    /// The same matrix with every column multiplied by its factor.
    ///
    /// # Panics
    /// If there is not one factor for each column.
    #[must_use]
    pub fn scaled_columns(&self, factors: &[f64]) -> Self {
        assert_eq!(self.cols, factors.len(), "one factor for each column");
        Self::from_fn(self.rows, self.cols, |row, col| self.at(row, col) * factors[col])
    }

    /// The Euclidean norm of each column.
    #[must_use]
    pub fn column_norms(&self) -> Vec<f64> {
        (0..self.cols).map(|col| euclidean_norm((0..self.rows).map(|row| self.at(row, col)))).collect()
    }

    /// The Frobenius norm, without overflow or underflow on the way; NaN if an entry is.
    #[must_use]
    pub fn frobenius_norm(&self) -> f64 {
        euclidean_norm(self.data.iter().copied())
    }

    /// The largest absolute entry; NaN if an entry is.
    #[must_use]
    pub fn max_abs(&self) -> f64 {
        max_abs(self.data.iter().copied())
    }

    /// Whether no entry is NaN or infinite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.data.iter().all(|entry| entry.is_finite())
    }

    /// Every entry rounded to the nearest number of `precision`.
    #[must_use]
    pub fn rounded(&self, precision: Precision) -> Self {
        self.map(|entry| precision.round(entry))
    }
}

impl fmt::Debug for HostMatrix {
    /// Shape and norm: the entries would bury a failure's message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostMatrix {} x {}, Frobenius norm {:e}", self.rows, self.cols, self.frobenius_norm())
    }
}

/// The largest absolute value, where a NaN is larger than everything; 0 for no value.
pub(crate) fn max_abs(values: impl Iterator<Item = f64>) -> f64 {
    values
        .map(f64::abs)
        .fold(0.0, |largest: f64, value| if largest.is_nan() || value <= largest { largest } else { value })
}

/// `sqrt(sum of squares)`, computed on values scaled by a power of two near the largest of them.
pub(crate) fn euclidean_norm(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = max_abs(values.clone());
    if largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    let (down, up) = power_of_two_scaling(largest);
    values.map(|value| (value * down).powi(2)).sum::<f64>().sqrt() * up
}

/// Two powers of two `(down, up)` with `down * up = 1` and `largest * down` of moderate size, both normal numbers:
/// multiplying by `down` is exact for every entry that matters, whatever the scale.
pub(crate) fn power_of_two_scaling(largest: f64) -> (f64, f64) {
    let exponent =
        if largest < f64::MIN_POSITIVE { -1000.0 } else { largest.log2().floor().clamp(-1000.0, 1000.0) };
    (f64::exp2(-exponent), f64::exp2(exponent))
}

#[cfg(test)]
mod tests {
    use super::HostMatrix;

    #[test]
    fn norms_survive_extreme_scales() {
        for scale in [1e-310, 1e-200, 1.0, 1e200, 1e307] {
            let norm = HostMatrix::column(&[3.0 * scale, 4.0 * scale]).frobenius_norm();
            assert!((norm / (5.0 * scale) - 1.0).abs() < 1e-12, "{norm} at scale {scale}");
        }
        assert_eq!(HostMatrix::zeros(2, 3).frobenius_norm(), 0.0);
        assert_eq!(HostMatrix::column(&[1.0, f64::NEG_INFINITY]).frobenius_norm(), f64::INFINITY);
    }

    #[test]
    fn a_nan_anywhere_shows_in_norm_and_maximum() {
        for position in 0..3 {
            let mut column = HostMatrix::column(&[1.0, f64::INFINITY, 3.0]);
            column.data[position] = f64::NAN;
            assert!(column.max_abs().is_nan());
            assert!(column.frobenius_norm().is_nan());
        }
    }

    #[test]
    fn rows_columns_and_transposition_agree() {
        let matrix = HostMatrix::from_fn(2, 3, |row, col| (10 * row + col) as f64);
        assert_eq!(matrix.data, [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]);
        assert_eq!(matrix.transposed().data, [0.0, 10.0, 1.0, 11.0, 2.0, 12.0]);
        assert_eq!(matrix.first_columns(2).data, [0.0, 1.0, 10.0, 11.0]);
        assert_eq!(matrix.scaled_columns(&[1.0, 2.0, 3.0]).data, [0.0, 2.0, 6.0, 10.0, 22.0, 36.0]);
        assert_eq!(HostMatrix::from_fn(2, 1, |row, _| 3.0 + row as f64).column_norms(), [5.0]);
    }
}
