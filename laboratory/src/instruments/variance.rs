//! How noisy a gradient is along its own singular directions.

use faer::{Mat, MatRef};
use spectra_examples::Failure;

use super::matrix::{Svd, mean_and_deviation, svd};

/// The noise of micro-batch gradients along the directions of a reference gradient.
///
/// With the decomposition of `Gbar`, a mean over many sequences, and `a_ik = u_k^T G_i v_k` of micro-batches, `RelVar(k) = Var_i(a_ik) / sigma_k^2`.
///
/// Source: 2602.11185, figure 4: it rises with k. Traps: where the variance is the same everywhere the curve is `1 / sigma_k^2` by
/// definition; and the small sigma_k are noise of the reference itself, `sqrt(Var / B)`, which the maximum that a singular value is makes
/// larger than the signal. Hence [`signal`](Self::signal) from a second, independent reference, which has no such bias. The null is a signal of 0, with `s_k^2` around
/// `Var / B`: `RelVar' = B` at all k.
#[derive(Debug, Clone)]
pub struct Directions {
    basis: Svd,
    /// `s_k = u_k^T Gbar' v_k`.
    pub signal: Vec<f64>,
}

impl Directions {
    /// Of a reference and of an independent one.
    ///
    /// # Errors
    /// A NaN or an infinity.
    pub fn new(reference: MatRef<'_, f64>, independent: MatRef<'_, f64>) -> Result<Self, Failure> {
        let basis = svd(reference)?;
        let signal = along(&basis, independent);
        Ok(Self { basis, signal })
    }

    /// Singular values of the reference.
    pub fn sigma(&self) -> &[f64] {
        &self.basis.sigma
    }

    /// `u_k^T G v_k` of one gradient, for each k.
    pub fn components(&self, g: MatRef<'_, f64>) -> Vec<f64> {
        along(&self.basis, g)
    }
}

fn along(Svd { u, sigma, v }: &Svd, g: MatRef<'_, f64>) -> Vec<f64> {
    let product: Mat<f64> = g * v;
    (0..sigma.len()).map(|k| (0..u.nrows()).map(|i| u[(i, k)] * product[(i, k)]).sum()).collect()
}

/// `Var_i(a_ik)` for each k; `components` has a list for each micro-batch.
pub fn variances(components: &[Vec<f64>]) -> Vec<f64> {
    let length = components.first().map_or(0, Vec::len);
    let of = |k: usize| components.iter().map(|list| list[k]).collect::<Vec<_>>();
    (0..length).map(|k| mean_and_deviation(&of(k)).1.powi(2)).collect()
}

/// Spearman's rank correlation of a list with its index; ties share their ranks. 1: it rises.
pub fn trend(list: &[f64]) -> f64 {
    let n = list.len() as f64;
    let rank = |i: usize| {
        let below = list.iter().filter(|x| **x < list[i]).count() as f64;
        let same = list.iter().filter(|x| **x == list[i]).count() as f64;
        below + (same - 1.0) / 2.0
    };
    let ranks: Vec<f64> = (0..list.len()).map(rank).collect();
    let middle = (n - 1.0) / 2.0;
    let (mut both, mut own, mut index) = (0.0, 0.0, 0.0);
    for (i, rank) in ranks.iter().enumerate() {
        let (a, b) = (i as f64 - middle, rank - middle);
        (both, own, index) = (both + a * b, own + b * b, index + a * a);
    }
    both / (own * index).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::matrix::gaussian;
    use super::super::matrix::tests::planted;
    use super::*;

    #[test]
    fn a_rank_correlation_is_that_of_ranks() {
        assert_eq!(trend(&[1.0, 2.0, 10.0]), 1.0);
        assert_eq!(trend(&[3.0, 2.0, -10.0]), -1.0);
        // Ranks 0, 2, 1: sum of products of deviations (-1)(-1) + 0 + 1 * 0 = 1 of 2.
        assert_eq!(trend(&[1.0, 3.0, 2.0]), 0.5);
        assert!((trend(&[1.0, 1.0, 2.0]) - 0.75f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn planted_signal_and_noise_come_back() {
        let (m, n, micro) = (12, 16, 400);
        let signal = planted(m, n, &[8.0, 4.0, 2.0], 1);
        let reference = |seed| &signal + Mat::from_fn(m, n, |i, j| gaussian_entry(seed, i, j) * 1e-3);
        let directions = Directions::new(reference(2).as_ref(), reference(3).as_ref()).expect("finite");
        for (k, right) in [8.0, 4.0, 2.0].into_iter().enumerate() {
            // Vectors turn by noise over gap, 4e-3 / 2, values by its square and by an entry of the noise.
            assert!((directions.signal[k] - right).abs() < 0.01, "{:?}", directions.signal);
        }
        // Directions without a signal: sigma says some 1e-3 sqrt(9), the other reference 1e-3.
        let mean = |list: &[f64]| list[3..].iter().map(|x| x.abs()).sum::<f64>() / (list.len() - 3) as f64;
        assert!(mean(directions.sigma()) > 1.5 * mean(&directions.signal));
        let components: Vec<_> =
            (0..micro).map(|i| directions.components((&signal + gaussian(m, n, 100 + i)).as_ref())).collect();
        for variance in variances(&components) {
            // Var of chi^2 is 2 / 399: five standard errors.
            assert!((variance - 1.0).abs() < 5.0 * (2.0f64 / 399.0).sqrt(), "{variance}");
        }
    }

    fn gaussian_entry(seed: u64, i: usize, j: usize) -> f64 {
        gaussian(12, 16, seed)[(i, j)]
    }
}
