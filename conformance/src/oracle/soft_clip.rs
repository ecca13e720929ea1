//! Soft spectral clip (2603.14315): `sigma -> sigma / sqrt(1 + sigma^2 / c^2)`.

use super::Svd;
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
    use super::soft_clipped;
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
