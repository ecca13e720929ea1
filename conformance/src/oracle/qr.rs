//! An orthonormal basis of a column span, by Householder QR.

use super::OracleError;
use super::svd::{from_faer, orthogonality_defect, to_faer};
use crate::{HostMatrix, Precision, tolerance};

/// The factor `Q` of the thin QR decomposition `matrix = Q R` with a non-negative diagonal of `R`.
///
/// For a matrix of full column rank it is unique. Columns of a deficient one are completed to an orthonormal set
/// in an unspecified way.
///
/// # Errors
/// [`OracleError`] if the matrix is not finite, or the factor is not orthonormal.
///
/// # Panics
/// If the matrix has more columns than rows.
pub fn orthonormal_basis(matrix: &HostMatrix) -> Result<HostMatrix, OracleError> {
    assert!(matrix.cols <= matrix.rows, "a basis of {} vectors in {} dimensions", matrix.cols, matrix.rows);
    if !matrix.is_finite() {
        return Err(OracleError::NotFinite);
    }
    let qr = to_faer(matrix).qr();
    let diagonal = qr.thin_R();
    let signs: Vec<f64> =
        (0..matrix.cols).map(|col| if diagonal[(col, col)] < 0.0 { -1.0 } else { 1.0 }).collect();
    let q = from_faer(qr.compute_thin_Q().as_ref()).scaled_columns(&signs);
    let (measured, tolerance) =
        (orthogonality_defect(&q), tolerance::orthonormality(Precision::F64, q.shape()));
    if measured <= tolerance {
        Ok(q)
    } else {
        Err(OracleError::Inaccurate { property: "orthogonality of Q", measured, tolerance })
    }
}

#[cfg(test)]
mod tests {
    use super::orthonormal_basis;
    use crate::HostMatrix;
    use crate::oracle::product_tn;

    #[test]
    fn basis_is_that_of_a_triangular_factor_with_positive_diagonal() {
        let matrix = HostMatrix::from_data(3, 2, vec![-3.0, 1.0, 0.0, 2.0, 4.0, -1.0]);
        let q = orthonormal_basis(&matrix).unwrap();
        let r = product_tn(&q, &matrix);
        assert!((r.at(0, 0) - 5.0).abs() < 1e-14 && r.at(1, 1) > 0.0, "{:?}", r.data);
        assert!(r.at(1, 0).abs() < 1e-14, "{:?}", r.data);
    }

    #[test]
    fn a_deficient_matrix_still_gets_orthonormal_columns() {
        assert!(orthonormal_basis(&HostMatrix::from_fn(5, 3, |row, _| row as f64)).is_ok());
        assert!(orthonormal_basis(&HostMatrix::zeros(4, 2)).is_ok());
        assert!(orthonormal_basis(&HostMatrix::from_fn(2, 1, |_, _| f64::NAN)).is_err());
    }
}
