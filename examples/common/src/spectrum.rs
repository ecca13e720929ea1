//! Singular values of one matrix of the model, of its gradient, and of what the optimizer made of it.

use faer::MatRef;
use serde::{Deserialize, Serialize};

use crate::Failure;

/// One matrix at one step, as the optimizer saw it; rows are output features.
pub struct Observation {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Its gradient, row after row.
    pub gradient: Vec<f32>,
    /// The optimizer's momentum.
    pub momentum: Vec<f32>,
    /// What was subtracted from the weights, up to a factor.
    pub update: Vec<f32>,
}

/// Singular values in descending order, each list divided by its root mean square.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spectrum {
    /// The matrix's name.
    pub weight: String,
    /// Steps done when it was looked at.
    pub step: usize,
    /// Of the gradient.
    pub gradient: Vec<f64>,
    /// Of the momentum.
    pub momentum: Vec<f64>,
    /// Of the shaped update.
    pub update: Vec<f64>,
}

impl Spectrum {
    /// Takes the exact singular values of an observation.
    pub fn of(weight: &str, step: usize, observation: &Observation) -> Result<Self, Failure> {
        let Observation { rows, columns, gradient, momentum, update } = observation;
        let values = |entries: &[f32]| singular_values(entries, *rows, *columns);
        Ok(Self {
            weight: weight.into(),
            step,
            gradient: values(gradient)?,
            momentum: values(momentum)?,
            update: values(update)?,
        })
    }
}

fn singular_values(entries: &[f32], rows: usize, columns: usize) -> Result<Vec<f64>, Failure> {
    let matrix = MatRef::from_row_major_slice(entries, rows, columns);
    let wide = faer::Mat::from_fn(rows, columns, |i, j| f64::from(matrix[(i, j)]));
    let values = wide
        .singular_values()
        .map_err(|error| Failure::run(format!("the singular values did not converge: {error:?}")))?;
    let mean_square = values.iter().map(|s| s * s).sum::<f64>() / values.len() as f64;
    Ok(values.into_iter().map(|s| s / mean_square.sqrt().max(f64::MIN_POSITIVE)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagonal_has_its_own_entries() {
        let values = singular_values(&[3.0, 0.0, 0.0, 0.0, -4.0, 0.0], 2, 3).expect("singular values");
        let scale = 12.5_f64.sqrt();
        assert!((values[0] - 4.0 / scale).abs() < 1e-12 && (values[1] - 3.0 / scale).abs() < 1e-12);
    }
}
