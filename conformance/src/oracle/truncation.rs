//! Rank-k truncation, the best approximation of rank k (Eckart and Young).

use super::Svd;
use crate::HostMatrix;

/// The singular values with all but the first k set to zero.
#[must_use]
pub fn truncated(sigma: &[f64], k: usize) -> Vec<f64> {
    sigma.iter().enumerate().map(|(index, &value)| if index < k { value } else { 0.0 }).collect()
}

impl Svd {
    /// The best approximation of rank k.
    #[must_use]
    pub fn truncation(&self, k: usize) -> HostMatrix {
        self.with_values(&truncated(&self.sigma, k))
    }
}

#[cfg(test)]
mod tests {
    use crate::HostMatrix;
    use crate::oracle::Svd;

    #[test]
    fn distance_to_the_truncation_is_the_tail_norm() {
        let matrix = HostMatrix::from_fn(6, 8, |row, col| ((3 * row * col + row) % 7) as f64);
        let svd = Svd::of(&matrix).unwrap();
        for k in 0..=6 {
            let distance = svd.truncation(k).zip(&matrix, |a, b| a - b).frobenius_norm();
            let tail = HostMatrix::column(&svd.sigma[k..]).frobenius_norm();
            assert!((distance - tail).abs() < 1e-13 * svd.sigma[0], "k = {k}: {distance} {tail}");
        }
    }
}
