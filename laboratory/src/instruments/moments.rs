//! How much of M and V is in a few directions, and what an update of the tail alone would be.

use faer::{Mat, MatRef};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};
use spectra_examples::Failure;

use super::matrix::{Svd, quantile, singular_values, svd};

/// `CDF(j) = sum_{i <= j} sigma_i^2 / sum_i sigma_i^2`, j from 1.
///
/// Source: 2602.11185, figure 3: the spike has 97 % of V and 50 % of M. Trap: V is positive, and a positive matrix has a Perron direction
/// whatever it holds; see [`without_rank_one`] and [`noise_second_moment`].
pub fn energy_cdf(sigma: &[f64]) -> Vec<f64> {
    let total: f64 = sigma.iter().map(|sigma| sigma * sigma).sum();
    let mut below = 0.0;
    let share = |sigma: &f64| {
        below += sigma * sigma;
        below / total
    };
    sigma.iter().map(share).collect()
}

/// `V - r c^T / mean`, with the means r of its rows and c of its columns: what row and column sizes do not say. Of independent noise
/// with any scales of rows and columns it is noise around 0.
pub fn without_rank_one(v: MatRef<'_, f64>) -> Mat<f64> {
    let (m, n) = v.shape();
    let rows: Vec<f64> = (0..m).map(|i| (0..n).map(|j| v[(i, j)]).sum::<f64>() / n as f64).collect();
    let columns: Vec<f64> = (0..n).map(|j| (0..m).map(|i| v[(i, j)]).sum::<f64>() / m as f64).collect();
    let mean = rows.iter().sum::<f64>() / m as f64;
    Mat::from_fn(m, n, |i, j| v[(i, j)] - rows[i] * columns[j] / mean)
}

/// V of independent standard normal gradients after so many steps, `V = b2 V + (1 - b2) G o G`: the null of V. Its first direction alone holds
/// `1 / (1 + 2 (1 - b2) / (1 + b2))` of the energy after many steps: 0.951 at b2 = 0.95, 0.999 at 0.999.
pub fn noise_second_moment((m, n): (usize, usize), beta2: f64, steps: usize, seed: u64) -> Mat<f64> {
    let mut draws = StdRng::seed_from_u64(seed);
    let mut v = Mat::<f64>::zeros(m, n);
    // What lies further back weighs e^-28, below the last digit of the sum.
    let seen = steps.min((28.0 / -beta2.ln()).ceil() as usize);
    for _ in 0..seen {
        for j in 0..n {
            for i in 0..m {
                let g: f64 = StandardNormal.sample(&mut draws);
                v[(i, j)] = beta2 * v[(i, j)] + (1.0 - beta2) * g * g;
            }
        }
    }
    v
}

/// The rank-k part of a matrix and the rest.
fn divided(a: MatRef<'_, f64>, Svd { u, sigma, v }: &Svd, k: usize) -> (Mat<f64>, Mat<f64>) {
    let scaled = Mat::from_fn(u.nrows(), k, |i, j| u[(i, j)] * sigma[j]);
    let spike = &scaled * v.as_ref().subcols(0, k).transpose();
    let tail = a - &spike;
    (spike, tail)
}

/// What becomes of the negative entries of `V_t = V - V_s`, and of V_s itself, of which the paper says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Negative {
    /// `|x|`.
    Magnitude,
    /// `max(x, 0)`.
    Zero,
}

/// Entries of updates of `M_t = M - M_s` alone, the rest of rank-k truncations.
///
/// Source: 2602.11185, figure 3, lower row: the second is two orders larger than the first. Trap: it is larger for noise, too, by 3.6 at b2 = 0.95.
#[derive(Debug, Clone)]
pub struct TailUpdates {
    /// `|M_t| / (sqrt V_s + sqrt V_t + eps)`, as the text has it.
    pub text: Vec<f64>,
    /// `|M_t| / (sqrt(V_s + V_t) + eps)`, as the caption has it.
    pub caption: Vec<f64>,
    /// `|M_t| / (sqrt V_t + eps)`.
    pub tail_only: Vec<f64>,
}

/// Of first and second moment, both corrected for their beginning at 0.
///
/// # Errors
/// A NaN or an infinity.
pub fn tail_updates(
    m: MatRef<'_, f64>,
    v: MatRef<'_, f64>,
    k: usize,
    negative: Negative,
    eps: f64,
) -> Result<TailUpdates, Failure> {
    let (_, m_tail) = divided(m, &svd(m)?, k);
    let (v_spike, v_tail) = divided(v, &svd(v)?, k);
    let root = |x: f64| match negative {
        Negative::Magnitude => x.abs().sqrt(),
        Negative::Zero => x.max(0.0).sqrt(),
    };
    let each = |divisor: &dyn Fn(usize, usize) -> f64| {
        let entry = |j: usize, i: usize| m_tail[(i, j)].abs() / (divisor(i, j) + eps);
        (0..m.ncols()).flat_map(|j| (0..m.nrows()).map(move |i| (j, i))).map(|(j, i)| entry(j, i)).collect()
    };
    Ok(TailUpdates {
        text: each(&|i, j| root(v_spike[(i, j)]) + root(v_tail[(i, j)])),
        caption: each(&|i, j| v[(i, j)].max(0.0).sqrt()),
        tail_only: each(&|i, j| root(v_tail[(i, j)])),
    })
}

impl TailUpdates {
    /// By how much the median of the tail-only update exceeds that of the text's.
    pub fn gain(&self) -> f64 {
        quantile(&self.tail_only, 0.5) / quantile(&self.text, 0.5)
    }
}

/// How many entries are in each quarter of a decade: `(lower end's exponent, share)`, none that is empty.
pub fn histogram(entries: &[f64]) -> Vec<(f64, f64)> {
    let mut counts = std::collections::BTreeMap::new();
    for entry in entries.iter().filter(|entry| **entry > 0.0) {
        *counts.entry((4.0 * entry.log10()).floor() as i64).or_insert(0usize) += 1;
    }
    counts.into_iter().map(|(bin, count)| (bin as f64 / 4.0, count as f64 / entries.len() as f64)).collect()
}

/// The share of energy that k directions hold, of V as it is and of V without its rank-one part.
///
/// # Errors
/// A NaN or an infinity.
pub fn shares(v: MatRef<'_, f64>, k: usize) -> Result<(f64, f64), Failure> {
    let at = |a: MatRef<'_, f64>| Ok::<_, Failure>(energy_cdf(&singular_values(a)?)[k.max(1) - 1]);
    Ok((at(v)?, at(without_rank_one(v).as_ref())?))
}

#[cfg(test)]
mod tests {
    use super::super::matrix::gaussian;
    use super::super::matrix::tests::planted;
    use super::*;

    #[test]
    fn shares_of_planted_values() {
        let cdf = energy_cdf(&[3.0, 4.0, 0.0]);
        assert_eq!(cdf, [9.0 / 25.0, 1.0, 1.0]);
    }

    #[test]
    fn noise_of_any_scales_has_a_perron_direction_and_nothing_else() {
        let shape = (60, 80);
        for (beta2, share) in [(0.95, 0.951), (0.999, 0.999)] {
            let v = noise_second_moment(shape, beta2, 3000, 5);
            let rows = |i: usize| 1.0 + i as f64;
            let scaled = Mat::from_fn(60, 80, |i, j| rows(i) * v[(i, j)]);
            // At b2 = 0.999 the 3000 steps leave out 5 % of the weight, which changes no share by more than that of 0.001.
            let (whole, _) = shares(v.as_ref(), 1).expect("finite");
            assert!((whole - share).abs() < 0.004, "{beta2}: {whole}");
            // Without it: noise, of which one direction of 60 holds 4 sqrt-fold its part at most: (1 + sqrt(60/80))^2 / 60 = 0.058.
            let (_, rest) = shares(v.as_ref(), 1).expect("finite");
            assert!(rest < 0.09, "{beta2}: {rest}");
            let (_, rest) = shares(scaled.as_ref(), 1).expect("finite");
            assert!(rest < 0.2, "{beta2}: {rest}");
        }
    }

    #[test]
    fn a_planted_block_survives() {
        let mut v = noise_second_moment((60, 80), 0.95, 400, 6);
        for j in 0..8 {
            for i in 0..6 {
                v[(i, j)] += 20.0;
            }
        }
        let (_, rest) = shares(v.as_ref(), 1).expect("finite");
        assert!(rest > 0.8, "{rest}");
    }

    #[test]
    fn an_update_of_a_planted_tail() {
        // M of rank 3, V all ones but a spike: k = 1 leaves the two smaller directions of M.
        let m = planted(10, 12, &[5.0, 0.5, 0.25], 2);
        let v = Mat::from_fn(10, 12, |_, _| 1.0);
        let found = tail_updates(m.as_ref(), v.as_ref(), 1, Negative::Zero, 0.1).expect("finite");
        // V has rank 1, so V_t is rounding noise of 1e-15 and its root of 1e-7.
        let square = |list: &[f64]| list.iter().map(|x| x * x).sum::<f64>();
        let right = 0.25 + 0.0625;
        assert!((square(&found.caption) * 1.21 - right).abs() < 1e-6, "{}", square(&found.caption));
        assert!((square(&found.tail_only) * 0.01 - right).abs() < 1e-4, "{}", square(&found.tail_only));
        assert!((found.gain() - 11.0).abs() < 1e-3, "{}", found.gain());
        let shares: f64 = histogram(&found.text).iter().map(|(_, share)| share).sum();
        assert!((shares - 1.0).abs() < 1e-12);
    }

    /// Simulated by hand: larger by 3.6 at b2 = 0.95.
    #[test]
    fn tail_only_updates_are_larger_for_noise_as_well() {
        let v = noise_second_moment((60, 80), 0.95, 400, 8);
        let gain = tail_updates(gaussian(60, 80, 9).as_ref(), v.as_ref(), 1, Negative::Magnitude, 1e-8);
        let gain = gain.expect("finite").gain();
        assert!((2.0..6.0).contains(&gain), "{gain}");
    }
}
