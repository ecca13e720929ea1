//! Norms of weights.

use faer::MatRef;
use spectra_examples::Failure;

use super::matrix::{frobenius, singular_values};

/// Three norms of a matrix, or their sums over several.
///
/// Source: 2603.14315, figure 4: with clipped updates they grow less. Trap: what decays them is `lr wd T`; where that is much below 1, as at lr 3e-3, wd 0.1,
/// T 400, norms say nothing about it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct WeightSize {
    /// `||W||_2`.
    pub spectral: f64,
    /// `||W||_F`.
    pub frobenius: f64,
    /// `max |w|`.
    pub largest: f64,
}

/// Of one matrix.
///
/// # Errors
/// A NaN or an infinity.
pub fn weight_size(w: MatRef<'_, f64>) -> Result<WeightSize, Failure> {
    let spectral = singular_values(w)?.first().copied().unwrap_or(0.0);
    Ok(WeightSize { spectral, frobenius: frobenius(w), largest: w.norm_max() })
}

impl std::ops::Add for WeightSize {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            spectral: self.spectral + other.spectral,
            frobenius: self.frobenius + other.frobenius,
            largest: self.largest + other.largest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::Mat;

    #[test]
    fn norms_of_a_matrix_that_is_nearly_diagonal() {
        let w = Mat::from_fn(2, 3, |i, j| if i == j { [3.0, -4.0][i] } else { 0.0 });
        let found = weight_size(w.as_ref()).expect("finite");
        assert!((found.spectral - 4.0).abs() < 1e-14 && (found.frobenius - 5.0).abs() < 1e-14);
        assert_eq!(found.largest, 4.0);
        assert_eq!((found + found).largest, 8.0);
    }
}
