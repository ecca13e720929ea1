//! The Frank-Wolfe steps (2603.14315, Proposition 1) on singular values, without their minus sign.
//!
//! The step is `argmax_{||V||_2 <= D} <M, V> - psi(V)`; it has M's singular vectors, and each singular value of it
//! solves `max_{0 <= x <= D} sigma x - psi(x)`. Every result here is checked against that definition.

use super::Svd;
use crate::HostMatrix;

/// `max(sigma - t, 0)`: the proximal map of the nuclear norm.
#[must_use]
pub fn soft_thresholded(sigma: &[f64], t: f64) -> Vec<f64> {
    sigma.iter().map(|&value| (value - t).max(0.0)).collect()
}

/// psi = `(b/2) ||.||_F^2`: `min(sigma / b, D)`.
#[must_use]
pub fn frobenius(sigma: &[f64], b: f64, d: f64) -> Vec<f64> {
    elastic(sigma, 0.0, b, d)
}

/// psi = `t ||.||_* + (b/2) ||.||_F^2`: `min(max(sigma - t, 0) / b, D)`.
#[must_use]
pub fn elastic(sigma: &[f64], t: f64, b: f64, d: f64) -> Vec<f64> {
    soft_thresholded(sigma, t).into_iter().map(|value| (value / b).min(d)).collect()
}

/// psi = `b ||.||_*`: D where sigma > b, else 0.
#[must_use]
pub fn bang_bang(sigma: &[f64], b: f64, d: f64) -> Vec<f64> {
    sigma.iter().map(|&value| if value > b { d } else { 0.0 }).collect()
}

/// psi = `b ||.||_p^p`, p > 1: `min((sigma / (b p))^{1/(p-1)}, D)`.
///
/// # Panics
/// If p is not above 1.
#[must_use]
pub fn schatten(sigma: &[f64], b: f64, p: f64, d: f64) -> Vec<f64> {
    assert!(p > 1.0, "Schatten exponent {p}");
    sigma.iter().map(|&value| (value / (b * p)).powf(1.0 / (p - 1.0)).min(d)).collect()
}

impl Svd {
    /// The matrix with every singular value reduced by t, down to zero.
    #[must_use]
    pub fn soft_threshold(&self, t: f64) -> HostMatrix {
        self.with_values(&soft_thresholded(&self.sigma, t))
    }
}

#[cfg(test)]
mod tests {
    use super::{bang_bang, elastic, frobenius, schatten};
    use crate::oracle::test_support::check_spectral_ops;

    const SIGMA: [f64; 7] = [9.0, 4.0, 2.5, 1.4, 0.7, 0.01, 0.0];

    /// Holds `computed` against a grid search of `max_{0 <= x <= d} sigma x - psi(x)`.
    fn check_optimal(computed: &[f64], d: f64, psi: impl Fn(f64) -> f64) {
        const GRID: usize = 20_000;
        for (&sigma, &x) in SIGMA.iter().zip(computed) {
            assert!((0.0..=d).contains(&x), "{x} outside [0, {d}]");
            let value = sigma * x - psi(x);
            let best = (0..=GRID)
                .map(|point| d * point as f64 / GRID as f64)
                .map(|y| sigma * y - psi(y))
                .fold(f64::NEG_INFINITY, f64::max);
            assert!(value >= best - 1e-12, "sigma {sigma}: x = {x} gives {value}, the grid {best}");
        }
    }

    #[test]
    fn each_step_solves_its_problem() {
        let d = 1.5;
        check_optimal(&frobenius(&SIGMA, 2.0, d), d, |x| x * x);
        check_optimal(&elastic(&SIGMA, 1.2, 0.8, d), d, |x| 1.2 * x + 0.4 * x * x);
        check_optimal(&bang_bang(&SIGMA, 1.3, d), d, |x| 1.3 * x);
        for p in [1.25, 2.0, 3.0] {
            check_optimal(&schatten(&SIGMA, 0.9, p, d), d, |x| 0.9 * x.powf(p));
        }
    }

    #[test]
    fn special_cases_coincide() {
        let (b, d) = (1.7, 2.0);
        for (quadratic, schatten) in frobenius(&SIGMA, 2.0 * b, d).iter().zip(schatten(&SIGMA, b, 2.0, d)) {
            assert!((quadratic - schatten).abs() < 1e-15);
        }
    }

    #[test]
    fn golden_soft_thresholds_are_reproduced() {
        check_spectral_ops("nuclear_soft_threshold_t", |svd, t| svd.soft_threshold(t));
    }
}
