//! How far columns are from dependence.

use super::{OracleError, Svd};
use crate::HostMatrix;

/// The largest over the smallest singular value of the columns scaled to unit length; infinite for zero or dependent
/// columns.
///
/// This is what an orthonormalisation meets: the lengths of the columns do not matter to it.
///
/// # Errors
/// [`OracleError`] if the matrix is not finite.
pub fn column_condition(columns: &HostMatrix) -> Result<f64, OracleError> {
    let lengths = columns.column_norms();
    if lengths.contains(&0.0) {
        return Ok(f64::INFINITY);
    }
    let unit =
        HostMatrix::from_fn(columns.rows, columns.cols, |row, col| columns.at(row, col) / lengths[col]);
    let sigma = Svd::of(&unit)?.sigma;
    Ok(match (sigma.first(), sigma.last()) {
        (Some(largest), Some(smallest)) if columns.cols <= columns.rows => largest / smallest,
        _ => f64::INFINITY,
    })
}

#[cfg(test)]
mod tests {
    use super::column_condition;
    use crate::HostMatrix;

    #[test]
    fn lengths_do_not_matter_and_angles_do() {
        let orthogonal = HostMatrix::from_data(2, 2, vec![1e-12, 1e9, 1e-12, -1e9]);
        assert!((column_condition(&orthogonal).unwrap() - 1.0).abs() < 1e-12);
        // Unit columns at an angle with cosine 0.6: sqrt(1.6 / 0.4) = 2.
        let oblique = HostMatrix::from_data(2, 2, vec![1.0, 0.6, 0.0, 0.8]);
        assert!((column_condition(&oblique).unwrap() - 2.0).abs() < 1e-12);
        assert_eq!(column_condition(&HostMatrix::zeros(3, 1)).unwrap(), f64::INFINITY);
        assert_eq!(column_condition(&HostMatrix::from_fn(1, 2, |_, _| 1.0)).unwrap(), f64::INFINITY);
    }
}
