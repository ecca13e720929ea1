//! Hard spectral clip: `sigma -> min(sigma, c)`, the projection onto a spectral-norm ball.

use super::Svd;
use crate::HostMatrix;

/// The singular values after a hard clip at c.
#[must_use]
pub fn hard_clipped(sigma: &[f64], c: f64) -> Vec<f64> {
    sigma.iter().map(|&value| value.min(c)).collect()
}

impl Svd {
    /// The matrix with every singular value cut to c.
    #[must_use]
    pub fn hard_clip(&self, c: f64) -> HostMatrix {
        self.with_values(&hard_clipped(&self.sigma, c))
    }
}

#[cfg(test)]
mod tests {
    use crate::oracle::test_support::check_spectral_ops;

    #[test]
    fn values_by_hand() {
        assert_eq!(super::hard_clipped(&[5.0, 2.0, 1.0], 2.0), [2.0, 2.0, 1.0]);
    }

    #[test]
    fn golden_cases_are_reproduced() {
        check_spectral_ops("hard_clip_c", |svd, c| svd.hard_clip(c));
    }
}
