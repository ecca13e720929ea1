//! Soft spectral clip (2603.14315): `sigma -> sigma / sqrt(1 + sigma^2 / c^2)`.

use super::{Svd, product_nt, product_tn};
use crate::HostMatrix;

/// The singular values after a soft clip at c.
///
/// # Panics
/// If c is not positive.
#[must_use]
pub fn soft_clipped(sigma: &[f64], c: f64) -> Vec<f64> {
    assert!(c > 0.0, "clip threshold {c}");
    sigma.iter().map(|&value| value / 1_f64.hypot(value / c)).collect()
}

/// `alpha = 1 + min(largest absolute row sum, Frobenius norm)(X X^T) / c^2`, with X on its short side: the bound of the
/// authors' program.
#[must_use]
pub fn official_bound(x: &HostMatrix, c: f64) -> f64 {
    let gram = if x.rows <= x.cols { product_nt(x, x) } else { product_tn(x, x) };
    let row_sums = gram.data.chunks(gram.cols.max(1)).map(|row| row.iter().map(|entry| entry.abs()).sum());
    1.0 + row_sums.fold(0.0, f64::max).min(gram.frobenius_norm()) / (c * c)
}

/// The singular values after so many coupled Newton-Schulz steps on `A = (I + X X^T / c^2) / alpha`: converged or not,
/// an eigenvalue `a` of A is `Z^2 a` away from 1 and the result is `Z sigma / sqrt(alpha)`.
#[must_use]
pub fn coupled_cubic_steps(sigma: &[f64], c: f64, alpha: f64, steps: usize) -> Vec<f64> {
    let clip = |&sigma: &f64| {
        let a = (1.0 + (sigma / c).powi(2)) / alpha;
        let mut z = 1.0;
        for _ in 0..steps {
            z *= (3.0 - z * a * z) / 2.0;
        }
        z * sigma / alpha.sqrt()
    };
    sigma.iter().map(clip).collect()
}

impl Svd {
    /// `H_c(M) = (I + M M^T / c^2)^{-1/2} M`.
    ///
    /// # Panics
    /// If c is not positive.
    #[must_use]
    pub fn soft_clip(&self, c: f64) -> HostMatrix {
        self.with_values(&soft_clipped(&self.sigma, c))
    }
}

#[cfg(test)]
mod tests {
    use super::{coupled_cubic_steps, official_bound, soft_clipped};
    use crate::distance::max_error;
    use crate::golden::{Golden, names};
    use crate::oracle::Svd;

    #[test]
    fn values_by_hand() {
        let clipped = soft_clipped(&[4.0, 0.75, 0.0, 1e300], 3.0);
        assert!((clipped[0] - 2.4).abs() < 1e-15);
        assert!((clipped[1] - 0.75 / 1.0625_f64.sqrt()).abs() < 1e-15);
        assert_eq!(clipped[2..], [0.0, 3.0]);
    }

    #[test]
    fn golden_runs_of_the_authors_program_are_reproduced() {
        for name in names("soft_clip_").unwrap() {
            let case = Golden::load(&name).unwrap();
            let x = case.inputs().matrix("X").unwrap();
            let svd = Svd::of(&x).unwrap();
            for c in case.hyper_numbers("c").unwrap() {
                let output = format!("official_ns10_f64_c{c}");
                let values = coupled_cubic_steps(&svd.sigma, c, official_bound(&x, c), 10);
                let golden = case.outputs().matrix(&output).unwrap();
                let error = max_error(&svd.with_values(&values).data, &golden.data);
                assert!(error <= case.tolerance_of(&output).unwrap(), "{name} {output}: {error:e}");
            }
        }
    }

    #[test]
    fn golden_cases_are_reproduced() {
        for name in names("soft_clip_").unwrap() {
            let case = Golden::load(&name).unwrap();
            let svd = Svd::of(&case.inputs().matrix("X").unwrap()).unwrap();
            for c in case.hyper_numbers("c").unwrap() {
                let output = format!("exact_c{c}");
                let error = max_error(&svd.soft_clip(c).data, &case.outputs().matrix(&output).unwrap().data);
                assert!(error <= case.tolerance_of(&output).unwrap(), "{name} {output}: {error:e}");
            }
        }
    }
}
