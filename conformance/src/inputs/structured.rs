//! Inputs whose entries follow a formula.

use super::{Family, Input};
use crate::HostMatrix;

/// The Hilbert matrix, entries `1 / (i + j + 1)`.
#[must_use]
pub fn hilbert((rows, cols): (usize, usize)) -> Input {
    Input::new(
        "Hilbert",
        Family::Hilbert,
        HostMatrix::from_fn(rows, cols, |row, col| 1.0 / (row + col + 1) as f64),
    )
}

/// All zeros.
#[must_use]
pub fn zero((rows, cols): (usize, usize)) -> Input {
    Input::new("zero", Family::Zero, HostMatrix::zeros(rows, cols))
}

/// Zeros but for a -3 at `position`.
///
/// # Panics
/// If the position lies outside.
#[must_use]
pub fn single_entry((rows, cols): (usize, usize), position: (usize, usize)) -> Input {
    assert!(position.0 < rows && position.1 < cols, "entry {position:?} of a {rows} x {cols} matrix");
    let matrix = HostMatrix::from_fn(rows, cols, |row, col| if (row, col) == position { -3.0 } else { 0.0 });
    Input::new(&format!("one entry at {position:?}"), Family::SingleEntry, matrix)
}

#[cfg(test)]
mod tests {
    use super::{hilbert, single_entry, zero};

    #[test]
    fn condition_figures_are_the_known_ones() {
        // The condition number of the Hilbert matrix of order 5 is 476607.25...
        let condition = hilbert((5, 5)).condition().unwrap();
        assert!((condition.number() / 476_607.250_242 - 1.0).abs() < 1e-9, "{condition:?}");
        let one = single_entry((4, 6), (3, 5)).condition().unwrap();
        assert_eq!((one.rank, one.sigma_max, one.number()), (1, 3.0, 1.0));
        let none = zero((4, 6)).condition().unwrap();
        assert_eq!((none.rank, none.sigma_max, none.number()), (0, 0.0, 1.0));
    }
}
