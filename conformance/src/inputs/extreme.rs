//! Inputs at the edges of the number format.

use super::{Family, Input, flat, spiked};
use crate::Precision;

/// A spiked matrix with all entries multiplied by `scale`.
///
/// At 1e30 and 1e-30 single precision holds the entries but not their squares.
#[must_use]
pub fn scaled(shape: (usize, usize), scale: f64) -> Input {
    let matrix = spiked(shape, 2).matrix.map(|entry| entry * scale);
    Input::new(&format!("scale {scale:e}"), Family::Extreme, matrix)
}

/// Normal entries at 1e-30 with one of 1e30 in the last corner.
#[must_use]
pub fn mixed_magnitude(shape: (usize, usize)) -> Input {
    let mut matrix = flat(shape).matrix.map(|entry| 1e-30 * entry);
    if let Some(last) = matrix.data.last_mut() {
        *last = 1e30;
    }
    Input::new("scales 1e-30 and 1e30", Family::Extreme, matrix)
}

/// Normal entries scaled to about a thousandth of the smallest normal number of `precision`.
#[must_use]
pub fn denormal(shape: (usize, usize), precision: Precision) -> Input {
    let matrix = flat(shape).matrix.map(|entry| entry * precision.min_positive() / 1024.0);
    Input::new("denormal", Family::Denormal, matrix)
}

/// What is not finite. The negative NaN is what x86 makes of 0 / 0: its bits, as a whole number, are below those of every
/// number.
pub const NON_FINITE: [(&str, f64); 4] = [
    ("NaN", f64::NAN),
    ("negative NaN", -f64::NAN),
    ("infinity", f64::INFINITY),
    ("negative infinity", f64::NEG_INFINITY),
];

/// Sixteen inputs of normal entries with one that is [not finite](NON_FINITE) in one of the four corners.
#[must_use]
pub fn non_finite((rows, cols): (usize, usize)) -> Vec<Input> {
    let corners = [(0, 0), (0, cols - 1), (rows - 1, 0), (rows - 1, cols - 1)];
    let mut inputs = Vec::with_capacity(corners.len() * NON_FINITE.len());
    for corner in corners {
        for (name, value) in NON_FINITE {
            let mut matrix = flat((rows, cols)).matrix;
            matrix.data[corner.0 * cols + corner.1] = value;
            inputs.push(Input::new(&format!("{name} at {corner:?}"), Family::NonFinite, matrix));
        }
    }
    inputs
}

#[cfg(test)]
mod tests {
    use super::{denormal, mixed_magnitude, non_finite, scaled};
    use crate::Precision;

    #[test]
    fn single_precision_holds_the_entries_but_not_their_squares() {
        for scale in [1e-30, 1e30] {
            let input = scaled((8, 9), scale).rounded(Precision::F32);
            let largest = input.matrix.max_abs();
            assert!(largest.is_finite() && largest > 0.0);
            let square = Precision::F32.round(largest * largest);
            assert!(square == 0.0 || square == f64::INFINITY, "{square}");
            assert!((input.condition().unwrap().number() - 200.0).abs() < 0.1);
        }
        assert_eq!(mixed_magnitude((3, 4)).rounded(Precision::F32).matrix.max_abs(), f64::from(1e30_f32));
    }

    #[test]
    fn denormals_are_denormal_and_not_all_zero() {
        for precision in Precision::ALL {
            let matrix = denormal((9, 7), precision).rounded(precision).matrix;
            assert!(matrix.max_abs() < precision.min_positive() && matrix.max_abs() > 0.0, "{precision}");
            assert!(matrix.data.iter().filter(|entry| **entry != 0.0).count() > 60, "{precision}");
        }
    }

    #[test]
    fn each_corner_has_each_value_once() {
        let inputs = non_finite((5, 3));
        assert_eq!(inputs.len(), 16);
        for input in &inputs {
            assert_eq!(
                input.matrix.data.iter().filter(|entry| !entry.is_finite()).count(),
                1,
                "{}",
                input.name
            );
            assert!(input.condition().is_err());
        }
        let corners = [0, 2, 12, 14];
        for corner in corners {
            assert_eq!(inputs.iter().filter(|input| !input.matrix.data[corner].is_finite()).count(), 4);
        }
    }
}
