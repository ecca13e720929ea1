//! How far a computed matrix lies from the exact one.

use crate::HostMatrix;
use crate::host_matrix::max_abs;

/// `||computed - exact||_F / scale`.
///
/// The comparison cannot be passed by accident: another shape, a NaN or an infinity in `computed`, and any
/// difference at scale zero all give infinity. Zero scale and no difference give 0.
#[must_use]
pub fn relative_distance(computed: &HostMatrix, exact: &HostMatrix, scale: f64) -> f64 {
    if computed.shape() != exact.shape() {
        return f64::INFINITY;
    }
    let difference = computed.zip(exact, |a, b| a - b);
    fraction(difference.frobenius_norm(), scale)
}

/// [`relative_distance`] with the exact matrix's norm as the scale.
#[must_use]
pub fn relative_error(computed: &HostMatrix, exact: &HostMatrix) -> f64 {
    relative_distance(computed, exact, exact.frobenius_norm())
}

/// The largest absolute difference over the largest absolute exact value: the measure of the golden data.
#[must_use]
pub fn max_error(computed: &[f64], exact: &[f64]) -> f64 {
    if computed.len() != exact.len() {
        return f64::INFINITY;
    }
    let largest_difference = max_abs(computed.iter().zip(exact).map(|(a, b)| a - b));
    fraction(largest_difference, max_abs(exact.iter().copied()))
}

/// The largest of `|computed_ij - exact_ij| / scale_ij`, with the rules of [`relative_distance`] for each entry.
#[must_use]
pub fn entrywise_distance(computed: &HostMatrix, exact: &HostMatrix, scale: &HostMatrix) -> f64 {
    if computed.shape() != exact.shape() || computed.shape() != scale.shape() {
        return f64::INFINITY;
    }
    let entries = computed.data.iter().zip(&exact.data).zip(&scale.data);
    max_abs(entries.map(|((&computed, &exact), &scale)| scalar_distance(computed, exact, scale)))
}

/// Whether the entries are NaN, or infinite with the same sign, or finite at the same places.
#[must_use]
pub fn same_non_finite(computed: &HostMatrix, exact: &HostMatrix) -> bool {
    let alike = |a: f64, b: f64| (a.is_nan() && b.is_nan()) || a == b || (a.is_finite() && b.is_finite());
    computed.shape() == exact.shape() && computed.data.iter().zip(&exact.data).all(|(&a, &b)| alike(a, b))
}

/// Whether the shapes agree and all entries have the same bits; any NaN equals any NaN.
#[must_use]
pub fn same_bits(computed: &HostMatrix, exact: &HostMatrix) -> bool {
    let alike = |a: f64, b: f64| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
    computed.shape() == exact.shape() && computed.data.iter().zip(&exact.data).all(|(&a, &b)| alike(a, b))
}

/// `|computed - exact| / scale`, with the rules of [`relative_distance`].
#[must_use]
pub fn scalar_distance(computed: f64, exact: f64, scale: f64) -> f64 {
    fraction((computed - exact).abs(), scale)
}

/// `difference / scale`; 0 for 0 / 0; infinity for whatever is not a finite fraction.
fn fraction(difference: f64, scale: f64) -> f64 {
    let fraction = if difference == 0.0 { 0.0 } else { difference / scale };
    if fraction.is_finite() && scale.is_finite() { fraction } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::{
        entrywise_distance, max_error, relative_distance, relative_error, same_bits, same_non_finite,
        scalar_distance,
    };
    use crate::HostMatrix;

    #[test]
    fn equal_matrices_have_no_distance() {
        let matrix = HostMatrix::from_fn(3, 2, |row, col| row as f64 - 2.0 * col as f64);
        assert_eq!(relative_error(&matrix, &matrix), 0.0);
        assert_eq!(relative_error(&HostMatrix::zeros(2, 2), &HostMatrix::zeros(2, 2)), 0.0);
    }

    #[test]
    fn distance_is_relative() {
        let exact = HostMatrix::column(&[3e-200, 4e-200]);
        let computed = HostMatrix::column(&[3e-200, 4.5e-200]);
        assert!((relative_error(&computed, &exact) - 0.1).abs() < 1e-12);
        assert!((max_error(&computed.data, &exact.data) - 0.125).abs() < 1e-12);
        assert!((relative_distance(&computed, &exact, 5e-199) - 0.01).abs() < 1e-12);
    }

    #[test]
    fn nothing_passes_by_accident() {
        let exact = HostMatrix::column(&[1.0, 2.0]);
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(relative_error(&HostMatrix::column(&[1.0, bad]), &exact), f64::INFINITY);
            assert_eq!(max_error(&[bad, 2.0], &exact.data), f64::INFINITY);
            assert_eq!(scalar_distance(bad, 1.0, 1.0), f64::INFINITY);
            assert_eq!(scalar_distance(1.0, 1.0, bad), f64::INFINITY);
        }
        assert_eq!(relative_error(&HostMatrix::zeros(1, 2), &exact), f64::INFINITY);
        assert_eq!(
            relative_error(&HostMatrix::column(&[0.0, 1e-300]), &HostMatrix::zeros(2, 1)),
            f64::INFINITY
        );
        assert_eq!(max_error(&[1.0], &exact.data), f64::INFINITY);
    }

    #[test]
    fn a_small_entry_counts_as_much_as_a_large_one() {
        let exact = HostMatrix::column(&[1e10, 1e-10]);
        let computed = HostMatrix::column(&[1e10, 1.5e-10]);
        assert!(relative_error(&computed, &exact) < 1e-20);
        assert!((entrywise_distance(&computed, &exact, &exact) - 0.5).abs() < 1e-12);
        let with_nan = HostMatrix::column(&[f64::NAN, 1e-10]);
        assert_eq!(entrywise_distance(&with_nan, &exact, &exact), f64::INFINITY);
        assert_eq!(entrywise_distance(&exact, &with_nan, &exact), f64::INFINITY);
    }

    #[test]
    fn special_values_are_told_apart() {
        let exact = HostMatrix::column(&[1.0, f64::NAN, f64::INFINITY, 0.0]);
        assert!(same_non_finite(&HostMatrix::column(&[7.0, -f64::NAN, f64::INFINITY, -0.0]), &exact));
        assert!(!same_non_finite(&HostMatrix::column(&[1.0, f64::NAN, f64::NEG_INFINITY, 0.0]), &exact));
        assert!(!same_non_finite(&HostMatrix::column(&[f64::NAN, f64::NAN, f64::INFINITY, 0.0]), &exact));
        assert!(!same_non_finite(&HostMatrix::column(&[1.0, 1.0, f64::INFINITY, 0.0]), &exact));
        assert!(same_bits(&HostMatrix::column(&[1.0, -f64::NAN, f64::INFINITY, 0.0]), &exact));
        assert!(!same_bits(&HostMatrix::column(&[1.0, f64::NAN, f64::INFINITY, -0.0]), &exact));
    }
}
