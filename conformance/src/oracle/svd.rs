//! The singular value decomposition in double precision, checked before it is used.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::{Mat, MatRef, Par};

use super::OracleError;
use super::product::{product, product_tn};
use super::refine::refined;
use crate::distance::relative_distance;
use crate::host_matrix::power_of_two_scaling;
use crate::{HostMatrix, Precision, tolerance};

/// A thin singular value decomposition `M = U diag(sigma) V^T` with `r = min(rows, cols)` triples.
#[derive(Clone, Debug)]
pub struct Svd {
    /// The left singular vectors, `rows x r`, orthonormal columns.
    pub u: HostMatrix,
    /// The singular values, largest first.
    pub sigma: Vec<f64>,
    /// The right singular vectors, `cols x r`, orthonormal columns.
    pub v: HostMatrix,
}

impl Svd {
    /// The decomposition of `matrix`.
    ///
    /// It is computed by faer on the matrix scaled by a power of two, so that entries from the smallest denormal to
    /// the largest number are treated alike. Then its residual `||M - U diag(sigma) V^T||`, the orthogonality of
    /// both factors, and the order and sign of the singular values are checked: by backward error analysis a
    /// decomposition that passes has singular values within the residual tolerance of the exact ones.
    ///
    /// On matrices with all singular values nearly equal the iteration sometimes leaves a residual several times as
    /// large as on others. So a decomposition that fails is tried again on the transposed matrix, then with the
    /// rows in reverse order, then made more exact by rotations: the same check decides.
    ///
    /// # Errors
    /// [`OracleError`] if the matrix is not finite, the iteration did not converge, or the check failed.
    pub fn of(matrix: &HostMatrix) -> Result<Self, OracleError> {
        if !matrix.is_finite() {
            return Err(OracleError::NotFinite);
        }
        let (down, up) = power_of_two_scaling(matrix.max_abs());
        let scaled = matrix.map(|entry| entry * down);
        let checked = |svd: Result<Self, OracleError>| {
            let svd = svd?;
            svd.verify(&scaled)?;
            Ok(Self { sigma: svd.sigma.iter().map(|sigma| sigma * up).collect(), ..svd })
        };
        checked(Self::unchecked(&scaled))
            .or_else(|_: OracleError| {
                let svd = Self::unchecked(&scaled.transposed());
                checked(svd.map(|svd| Self { u: svd.v, v: svd.u, ..svd }))
            })
            .or_else(|_| {
                let svd = Self::unchecked(&upside_down(&scaled));
                checked(svd.map(|svd| Self { u: upside_down(&svd.u), ..svd }))
            })
            .or_else(|_| checked(Self::unchecked(&scaled).map(|svd| refined(svd, &scaled))))
    }

    fn unchecked(matrix: &HostMatrix) -> Result<Self, OracleError> {
        let ((m, n), r) = (matrix.shape(), matrix.min_extent());
        let (mut u, mut s, mut v) = (Mat::zeros(m, r), Diag::zeros(r), Mat::zeros(n, r));
        // On one thread: the matrices are small, and several tests run side by side.
        let (thin, alone) = (ComputeSvdVectors::Thin, Par::Seq);
        let mut memory = MemBuffer::new(svd_scratch::<f64>(m, n, thin, thin, alone, Default::default()));
        let (a, stack) = (to_faer(matrix), MemStack::new(&mut memory));
        svd(a.as_ref(), s.as_mut(), Some(u.as_mut()), Some(v.as_mut()), alone, stack, Default::default())
            .map_err(|_| OracleError::NoConvergence)?;
        Ok(Self {
            u: from_faer(u.as_ref()),
            sigma: s.column_vector().iter().copied().collect(),
            v: from_faer(v.as_ref()),
        })
    }

    fn verify(&self, matrix: &HostMatrix) -> Result<(), OracleError> {
        let require = |property, measured: f64, tolerance: f64| {
            if measured <= tolerance {
                Ok(())
            } else {
                Err(OracleError::Inaccurate { property, measured, tolerance })
            }
        };
        let residual = relative_distance(&self.with_values(&self.sigma), matrix, matrix.frobenius_norm());
        require("residual", residual, tolerance::svd_residual(Precision::F64, matrix.shape()))?;
        for (property, factor) in [("orthogonality of U", &self.u), ("orthogonality of V", &self.v)] {
            let defect = orthogonality_defect(factor);
            require(property, defect, tolerance::orthonormality(Precision::F64, factor.shape()))?;
        }
        let ordered = self.sigma.windows(2).all(|pair| pair[0] >= pair[1]);
        let non_negative = self.sigma.iter().all(|sigma| *sigma >= 0.0);
        let violations = u8::from(!ordered) + u8::from(!non_negative);
        require("order and sign of the singular values", f64::from(violations), 0.0)
    }

    /// `U diag(values) V^T`: the matrix with the same singular vectors and other singular values.
    ///
    /// # Panics
    /// If there is not one value for each triple.
    #[must_use]
    pub fn with_values(&self, values: &[f64]) -> HostMatrix {
        product(&self.u.scaled_columns(values), &self.v.transposed())
    }

    /// The number of singular values that rounding cannot have made of zeros.
    #[must_use]
    pub fn rank(&self) -> usize {
        let cut = self.rank_cut();
        self.sigma.iter().take_while(|sigma| **sigma > cut).count()
    }

    /// The size up to which a computed singular value may stand for an exact zero.
    #[must_use]
    pub fn rank_cut(&self) -> f64 {
        let shape = (self.u.rows, self.v.rows);
        self.sigma.first().map_or(0.0, |largest| largest * tolerance::svd_residual(Precision::F64, shape))
    }
}

/// `||Q^T Q - I||_F`.
#[must_use]
pub(crate) fn orthogonality_defect(q: &HostMatrix) -> f64 {
    relative_distance(&product_tn(q, q), &HostMatrix::identity(q.cols), 1.0)
}

fn upside_down(matrix: &HostMatrix) -> HostMatrix {
    HostMatrix::from_fn(matrix.rows, matrix.cols, |row, col| matrix.at(matrix.rows - 1 - row, col))
}

pub(super) fn to_faer(matrix: &HostMatrix) -> Mat<f64> {
    Mat::from_fn(matrix.rows, matrix.cols, |row, col| matrix.at(row, col))
}

pub(super) fn from_faer(matrix: MatRef<'_, f64>) -> HostMatrix {
    HostMatrix::from_fn(matrix.nrows(), matrix.ncols(), |row, col| matrix[(row, col)])
}

#[cfg(test)]
mod tests {
    use super::{OracleError, Svd};
    use crate::distance::relative_error;
    use crate::{HostMatrix, inputs};

    #[test]
    fn a_hand_made_decomposition_is_found() {
        // [[3, 0], [4, 5]] has singular values sqrt(45) and sqrt(5).
        let svd = Svd::of(&HostMatrix::from_data(2, 2, vec![3.0, 0.0, 4.0, 5.0])).unwrap();
        assert!((svd.sigma[0] - 45_f64.sqrt()).abs() < 1e-14);
        assert!((svd.sigma[1] - 5_f64.sqrt()).abs() < 1e-14);
    }

    #[test]
    fn scale_does_not_matter() {
        let matrix = HostMatrix::from_fn(5, 3, |row, col| ((3 * row + 7 * col) % 11) as f64 - 4.0);
        let reference = Svd::of(&matrix).unwrap();
        for exponent in [-1060, -600, 600, 1019] {
            let factor = 2_f64.powi(exponent / 2) * 2_f64.powi(exponent - exponent / 2);
            let svd = Svd::of(&matrix.map(|entry| entry * factor)).unwrap();
            for (scaled, sigma) in svd.sigma.iter().zip(&reference.sigma) {
                assert!((scaled / factor / sigma - 1.0).abs() < 1e-3, "{exponent}: {scaled:e} {sigma}");
            }
        }
    }

    #[test]
    fn every_finite_input_passes_the_check_and_no_other_does() {
        for input in inputs::standard(crate::Precision::F64) {
            match input.svd() {
                Ok(svd) => {
                    assert!(input.matrix.is_finite(), "{}", input.name);
                    assert_eq!(svd.sigma.len(), input.matrix.min_extent());
                }
                Err(error) => {
                    assert!(!input.matrix.is_finite(), "{}: {error}", input.name);
                    assert_eq!(*error, OracleError::NotFinite);
                }
            }
        }
    }

    #[test]
    fn the_check_rejects_a_wrong_decomposition() {
        let matrix = HostMatrix::from_fn(6, 4, |row, col| ((5 * row + 3 * col) % 7) as f64);
        let good = Svd::of(&matrix).unwrap();
        assert!(good.verify(&matrix).is_ok());
        let mut wrong_value = good.clone();
        wrong_value.sigma[0] *= 1.0 + 1e-12;
        let mut wrong_vector = good.clone();
        wrong_vector.u = good.u.map(|entry| entry * (1.0 + 1e-12));
        wrong_vector.sigma.iter_mut().for_each(|sigma| *sigma /= 1.0 + 1e-12);
        let mut wrong_order = good.clone();
        wrong_order.sigma.swap(0, 1);
        wrong_order.u = HostMatrix::from_fn(6, 4, |row, col| good.u.at(row, [1, 0, 2, 3][col]));
        wrong_order.v = HostMatrix::from_fn(4, 4, |row, col| good.v.at(row, [1, 0, 2, 3][col]));
        for wrong in [wrong_value, wrong_vector, wrong_order] {
            assert!(matches!(wrong.verify(&matrix), Err(OracleError::Inaccurate { .. })));
        }
    }

    #[test]
    fn same_values_give_the_matrix_back() {
        let matrix = HostMatrix::from_fn(4, 7, |row, col| ((row * row + 2 * col) % 5) as f64 - 1.0);
        let svd = Svd::of(&matrix).unwrap();
        assert!(relative_error(&svd.with_values(&svd.sigma), &matrix) < 1e-14);
    }
}
