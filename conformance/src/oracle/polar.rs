//! The polar factor: every singular value becomes 1.

use super::Svd;
use crate::HostMatrix;

/// The singular values of a polar factor: 1 for the first `rank`, 0 after.
#[must_use]
pub fn polar_values(count: usize, rank: usize) -> Vec<f64> {
    (0..count).map(|index| if index < rank { 1.0 } else { 0.0 }).collect()
}

impl Svd {
    /// `U V^T` over the triples that make up the rank: a partial isometry that maps the null space to zero.
    #[must_use]
    pub fn polar_factor(&self) -> HostMatrix {
        self.with_values(&polar_values(self.sigma.len(), self.rank()))
    }
}

#[cfg(test)]
mod tests {
    use crate::distance::max_error;
    use crate::golden::{Golden, names};
    use crate::oracle::Svd;
    use crate::{HostMatrix, distance::relative_error};

    #[test]
    fn golden_cases_are_reproduced_also_where_the_rank_is_deficient() {
        for name in names("spectral_ops_").unwrap() {
            let case = Golden::load(&name).unwrap();
            let svd = Svd::of(&case.inputs().matrix("X").unwrap()).unwrap();
            let error = max_error(&svd.polar_factor().data, &case.outputs().matrix("polar").unwrap().data);
            assert!(error <= case.tolerance_of("polar").unwrap(), "{name}: {error:e}");
        }
    }

    #[test]
    fn orthogonal_matrices_are_their_own_polar_factor_and_zero_too() {
        let rotation = HostMatrix::from_data(2, 2, vec![0.6, -0.8, 0.8, 0.6]);
        let scaled = rotation.map(|entry| 1e-300 * entry);
        assert!(relative_error(&Svd::of(&scaled).unwrap().polar_factor(), &rotation) < 1e-15);
        assert_eq!(Svd::of(&HostMatrix::zeros(3, 2)).unwrap().polar_factor(), HostMatrix::zeros(3, 2));
    }
}
