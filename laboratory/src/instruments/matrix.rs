//! Matrices in f64, their exact singular value decomposition, and Gaussian noise to compare with.

use faer::{Mat, MatRef};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};
use spectra_examples::Failure;

/// `A = U diag(sigma) V^T` with `r = min(m, n)` columns in U and V, sigma in descending order.
#[derive(Debug, Clone)]
pub struct Svd {
    /// m x r.
    pub u: Mat<f64>,
    /// r numbers.
    pub sigma: Vec<f64>,
    /// n x r.
    pub v: Mat<f64>,
}

/// The matrix whose rows lie one after the other in `values`.
///
/// # Errors
/// A number of values that is not `rows * cols`.
pub fn matrix(rows: usize, cols: usize, values: &[f32]) -> Result<Mat<f64>, Failure> {
    if values.len() != rows * cols {
        return Err(Failure::run(format!("{} values are no {rows} x {cols} matrix", values.len())));
    }
    Ok(Mat::from_fn(rows, cols, |i, j| f64::from(values[i * cols + j])))
}

/// The decomposition by faer, backward stable: each sigma to some `eps sigma_1`.
///
/// # Errors
/// A NaN or an infinity, for which it does not converge.
pub fn svd(a: MatRef<'_, f64>) -> Result<Svd, Failure> {
    let svd =
        a.thin_svd().map_err(|error| Failure::run(format!("a matrix has no decomposition: {error:?}")))?;
    let sigma = svd.S().column_vector().iter().copied().collect();
    Ok(Svd { u: svd.U().to_owned(), sigma, v: svd.V().to_owned() })
}

/// Singular values alone, in descending order.
///
/// # Errors
/// As [`svd`].
pub fn singular_values(a: MatRef<'_, f64>) -> Result<Vec<f64>, Failure> {
    a.singular_values().map_err(|error| Failure::run(format!("a matrix has no singular values: {error:?}")))
}

/// `||A||_F`.
pub fn frobenius(a: MatRef<'_, f64>) -> f64 {
    a.norm_l2()
}

/// Independent standard normal entries: the null of whatever is asked of a matrix.
pub fn gaussian(rows: usize, cols: usize, seed: u64) -> Mat<f64> {
    let mut draws = StdRng::seed_from_u64(seed);
    Mat::from_fn(rows, cols, |_, _| StandardNormal.sample(&mut draws))
}

/// The first k columns.
pub fn leading(a: MatRef<'_, f64>, k: usize) -> MatRef<'_, f64> {
    a.subcols(0, k.min(a.ncols()))
}

/// The number in the middle of a list; of an even one the mean of two. NaN of an empty one.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The quantile of a list in any order, interpolated between neighbours; `q` in [0, 1].
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let place = q * (sorted.len().saturating_sub(1)) as f64;
    let at = |place: f64| sorted.get(place as usize).copied().unwrap_or(f64::NAN);
    let (low, high) = (at(place.floor()), at(place.ceil()));
    low + (high - low) * place.fract()
}

/// Mean and standard deviation of a sample (with n - 1).
pub fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    (mean, (square / (n - 1.0)).sqrt())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Orthonormal columns, m x k.
    pub(crate) fn orthonormal(m: usize, k: usize, seed: u64) -> Mat<f64> {
        leading(svd(gaussian(m, k, seed).as_ref()).expect("finite").u.as_ref(), k).to_owned()
    }

    /// `sum_i sigma_i u_i v_i^T` with random vectors.
    pub(crate) fn planted(m: usize, n: usize, sigma: &[f64], seed: u64) -> Mat<f64> {
        let (u, v) = (orthonormal(m, sigma.len(), seed), orthonormal(n, sigma.len(), seed + 1));
        let scaled = Mat::from_fn(m, sigma.len(), |i, j| u[(i, j)] * sigma[j]);
        scaled * v.transpose()
    }

    #[test]
    fn planted_values_come_back() {
        let sigma = [9.0, 4.0, 1.0];
        let found = svd(planted(7, 5, &sigma, 3).as_ref()).expect("finite");
        // A rank of 3 of 5; errors are some eps sigma_1.
        assert_eq!((found.u.shape(), found.v.shape(), found.sigma.len()), ((7, 5), (5, 5), 5));
        for (i, found) in found.sigma.iter().enumerate() {
            assert!((found - sigma.get(i).unwrap_or(&0.0)).abs() < 100.0 * f64::EPSILON * 9.0);
        }
        assert!(matrix(2, 2, &[1.0]).is_err());
        assert!((frobenius(planted(7, 5, &sigma, 3).as_ref()) - 98.0f64.sqrt()).abs() < 1e-13);
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        let list = [3.0, 1.0, 2.0, 4.0];
        assert_eq!((median(&list), quantile(&list, 0.0), quantile(&list, 1.0)), (2.5, 1.0, 4.0));
        assert!(median(&[]).is_nan());
        assert_eq!(mean_and_deviation(&[1.0, 3.0]), (2.0, 2f64.sqrt()));
    }
}
