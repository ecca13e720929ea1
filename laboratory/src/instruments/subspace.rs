//! How near two subspaces are.

use faer::{Mat, MatRef};
use spectra_examples::Failure;

use super::matrix::{frobenius, gaussian, leading, mean_and_deviation, singular_values, svd};

/// Canonical correlations of two k-dimensional subspaces, in descending order: the singular values of `A^T B`, the cosines of the angles
/// between them.
///
/// Source: 2602.11185, figure 6, which shows the largest. Trap: that one is of the best aligned pair alone, and is 1 of two planes that
/// share a line; hence mean and smallest as well. [`null_cosines`] are those of random subspaces, which are far from 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Cosines(pub Vec<f64>);

/// Of the column spaces of two matrices with orthonormal columns.
///
/// # Errors
/// A NaN or an infinity.
pub fn cosines(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Result<Cosines, Failure> {
    let product: Mat<f64> = a.transpose() * b;
    // Rounding may lift a cosine of 1 above it.
    let cosines = singular_values(product.as_ref())?.into_iter().map(|c| c.min(1.0)).collect();
    Ok(Cosines(cosines))
}

impl Cosines {
    /// Of the best aligned pair.
    pub fn largest(&self) -> f64 {
        self.0.first().copied().unwrap_or(f64::NAN)
    }

    /// The average cosine.
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// Of the worst aligned pair.
    pub fn smallest(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }

    /// `sin theta_max`, the spectral distance.
    pub fn spectral_distance(&self) -> f64 {
        (1.0 - self.smallest().powi(2)).sqrt()
    }

    /// `sqrt(sum_i sin^2 theta_i / k)`, in [0, 1].
    pub fn chordal_distance(&self) -> f64 {
        (self.0.iter().map(|c| 1.0 - c * c).sum::<f64>() / self.0.len() as f64).sqrt()
    }
}

/// Of two random k-dimensional subspaces of n dimensions.
///
/// # Errors
/// None that could happen with finite numbers.
pub fn random_cosines((n, k): (usize, usize), seed: u64) -> Result<Cosines, Failure> {
    let basis = |seed| Ok::<_, Failure>(svd(gaussian(n, k, seed).as_ref())?.u);
    cosines(leading(basis(2 * seed)?.as_ref(), k), leading(basis(2 * seed + 1)?.as_ref(), k))
}

/// What random subspaces give, as mean and deviation of `of` over `draws` pairs.
///
/// # Errors
/// As [`random_cosines`].
pub fn null_cosines(
    shape: (usize, usize),
    draws: u64,
    of: impl Fn(&Cosines) -> f64,
) -> Result<(f64, f64), Failure> {
    let all = (0..draws).map(|draw| Ok(of(&random_cosines(shape, draw)?)));
    Ok(mean_and_deviation(&all.collect::<Result<Vec<_>, Failure>>()?))
}

/// `||U^T M||_F^2 / sum_{i <= k} sigma_i^2(M)` of a matrix U with k orthonormal columns: which share of what k directions can capture
/// these do. 1 at best; random ones `k / m` of all energy.
///
/// # Errors
/// A NaN or an infinity.
pub fn captured_energy(u: MatRef<'_, f64>, m: MatRef<'_, f64>) -> Result<f64, Failure> {
    let best: f64 = singular_values(m)?.iter().take(u.ncols()).map(|sigma| sigma * sigma).sum();
    let product: Mat<f64> = u.transpose() * m;
    Ok(frobenius(product.as_ref()).powi(2) / best)
}

#[cfg(test)]
mod tests {
    use super::super::matrix::tests::{orthonormal, planted};
    use super::*;

    #[test]
    fn angles_in_a_plane_are_what_they_are() {
        // The first axis is shared, the second turned by 0.3.
        let a = Mat::from_fn(4, 2, |i, j| f64::from(i == j));
        let b = Mat::from_fn(4, 2, |i, j| match (i, j) {
            (0, 0) => 1.0,
            (1, 1) => 0.3f64.cos(),
            (2, 1) => 0.3f64.sin(),
            _ => 0.0,
        });
        let found = cosines(a.as_ref(), b.as_ref()).expect("finite");
        let right = [1.0, 0.3f64.cos()];
        assert!(found.0.iter().zip(right).all(|(a, b)| (a - b).abs() < 8.0 * f64::EPSILON), "{found:?}");
        // The root of 1 - c^2 doubles a relative error of c.
        assert!((found.spectral_distance() - 0.3f64.sin()).abs() < 1e-14);
        assert!((found.chordal_distance() - 0.3f64.sin() / 2f64.sqrt()).abs() < 1e-14);
    }

    /// The hand-simulated numbers: 0.15, 0.09, 0.04 for 2 of 128 and 0.42, 0.21, 0.02 for 8 of 128.
    #[test]
    fn random_subspaces_are_not_orthogonal() {
        for (k, [largest, mean, smallest]) in [(2, [0.15, 0.09, 0.04]), (8, [0.42, 0.21, 0.02])] {
            let null = |of: fn(&Cosines) -> f64| null_cosines((128, k), 200, of).expect("finite");
            for ((found, deviation), right) in
                [null(Cosines::largest), null(Cosines::mean), null(Cosines::smallest)]
                    .into_iter()
                    .zip([largest, mean, smallest])
            {
                // Two digits, and five standard errors of 200 draws.
                let error = 0.005 + 5.0 * deviation / 200f64.sqrt();
                assert!((found - right).abs() <= error, "k = {k}: {found} and not {right}");
            }
        }
    }

    #[test]
    fn energy_of_the_leading_directions_is_all() {
        let m = planted(20, 30, &[5.0, 3.0, 1.0], 4);
        let found = svd(m.as_ref()).expect("finite");
        let energy = |u: MatRef<'_, f64>| captured_energy(u, m.as_ref()).expect("finite");
        assert!((energy(leading(found.u.as_ref(), 2)) - 1.0).abs() < 1e-13);
        // The first alone: 25 of 25; the second alone: 9 of the best 25.
        assert!((energy(found.u.as_ref().subcols(1, 1)) - 9.0 / 25.0).abs() < 1e-13);
        assert!(energy(orthonormal(20, 2, 9).as_ref()) < 0.6);
    }
}
