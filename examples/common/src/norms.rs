//! Spectral norms over a run: of every update of the hidden matrices, and of the matrices themselves.
//!
//! The update is read off the weights, `U = (1 - lr wd) X_before - X_after`: what is left without the decay. Norms are
//! taken in `f64` of weights in `f32`, exactly but for some 1e-13.

use faer::{Mat, MatRef, Side};
use serde::{Deserialize, Serialize};
use spectra_core::optimizer::Method;
use spectra_core::optimizer::plan::{Plan, Rule};

use crate::bound::Bound;
use crate::optimizers::config;
use crate::{Failure, Settings};

/// The updates of one step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct UpdateNorms {
    /// The largest spectral norm of a matrix's update.
    pub largest: f64,
    /// Where a spectral clip bounds them: the largest share of its bound that an update took.
    pub of_bound: Option<f64>,
    /// By how much that share may exceed 1: the clip's own accuracy, and the rounding of the weights.
    pub tolerance: Option<f64>,
}

/// The hidden matrices together, after one step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WeightNorms {
    /// The sum of their Frobenius norms.
    pub frobenius: f64,
    /// The sum of their spectral norms.
    pub spectral: f64,
}

/// A hidden matrix, one that the optimizer's own rule updates.
struct Hidden {
    /// Its place among the parameters.
    index: usize,
    name: String,
    rows: usize,
    cols: usize,
    values: Vec<f32>,
}

/// Follows the hidden matrices of a run from step to step.
pub(crate) struct Norms {
    hidden: Vec<Hidden>,
    weight_decay: f64,
    bound: Option<Bound>,
}

impl Norms {
    /// Begins with these weights, in the order of [`initial_parameters`](crate::model::initial_parameters).
    pub(crate) fn new(settings: &Settings, weights: Vec<Vec<f32>>) -> Result<Self, Failure> {
        let shapes = crate::model::parameter_shapes(&settings.sizes());
        let plan = Plan::builder().build(shapes.iter().map(|(name, shape)| (name, shape.as_slice())));
        let plan = plan.map_err(Failure::run)?;
        if weights.len() != shapes.len() {
            return Err(Failure::run(format!("{} weights instead of {}", weights.len(), shapes.len())));
        }
        let hidden = plan.entries().iter().zip(weights).enumerate();
        let hidden = hidden.filter(|(_, (entry, _))| entry.rule() == Rule::Spectral);
        let hidden = hidden.map(|(index, (entry, values))| {
            let (rows, cols) = entry.view();
            Hidden { index, name: entry.name().into(), rows, cols, values }
        });
        // Of a rule that is no recipe nobody knows which part of a step is decay.
        let (weight_decay, bound) = match config(settings)?.spectral {
            Method::Recipe(recipe) => (recipe.weight_decay, Bound::of(&recipe)),
            Method::Whole(_) => (0.0, None),
        };
        Ok(Self { hidden: hidden.collect(), weight_decay, bound })
    }

    /// Takes the weights after a step at this learning rate and clip factor. An error if an update is larger than the
    /// clip allows.
    pub(crate) fn step(
        &mut self,
        mut weights: Vec<Vec<f32>>,
        rate: f64,
        clip_factor: f64,
    ) -> Result<UpdateNorms, Failure> {
        let decay = 1.0 - rate * self.weight_decay;
        let mut norms = UpdateNorms { largest: 0.0, of_bound: None, tolerance: None };
        for matrix in &mut self.hidden {
            let after = weights.get_mut(matrix.index).map(std::mem::take).unwrap_or_default();
            let Hidden { name, rows, cols, values: before, .. } = matrix;
            if after.len() != before.len() {
                return Err(Failure::run(format!("{name} has changed its size")));
            }
            let pairs = before.iter().zip(&after).map(|(x, y)| (decay * f64::from(*x), f64::from(*y)));
            let update: Vec<f64> = pairs.map(|(x, y)| x - y).collect();
            let norm = spectral(&update, *rows, *cols)?;
            norms.largest = norms.largest.max(norm);
            if let Some(bound) = &self.bound {
                let frobenius = [frobenius(before), frobenius(&update), frobenius(&after)];
                let (share, tolerance) =
                    bound.check(name, norm, frobenius, (*rows, *cols), rate, clip_factor)?;
                if norms.of_bound.is_none_or(|largest| share > largest) {
                    (norms.of_bound, norms.tolerance) = (Some(share), Some(tolerance));
                }
            }
            *before = after;
        }
        Ok(norms)
    }

    /// Of the weights as they are.
    pub(crate) fn weights(&self) -> Result<WeightNorms, Failure> {
        let mut sum = WeightNorms { frobenius: 0.0, spectral: 0.0 };
        for Hidden { rows, cols, values, .. } in &self.hidden {
            sum.frobenius += frobenius(values);
            sum.spectral += spectral(values, *rows, *cols)?;
        }
        Ok(sum)
    }
}

/// `||X||_F`
fn frobenius<T: Copy + Into<f64>>(values: &[T]) -> f64 {
    values.iter().map(|&x| x.into() * x.into()).sum::<f64>().sqrt()
}

/// `||X||_2`: the root of the Gram matrix's largest eigenvalue, whose relative error is some `rows eps`.
fn spectral<T: Copy + Into<f64>>(values: &[T], rows: usize, cols: usize) -> Result<f64, Failure> {
    let values: Vec<f64> = values.iter().map(|&x| x.into()).collect();
    let x = MatRef::from_row_major_slice(&values, rows, cols);
    let gram: Mat<f64> = if rows < cols { x * x.transpose() } else { x.transpose() * x };
    let eigenvalues = gram.self_adjoint_eigenvalues(Side::Lower);
    let eigenvalues = eigenvalues
        .map_err(|error| Failure::run(format!("the eigenvalues of a matrix did not converge: {error:?}")))?;
    Ok(eigenvalues.last().map_or(0.0, |largest| largest.max(0.0).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::settings;

    #[test]
    fn the_norm_is_the_largest_singular_value() {
        for (rows, cols) in [(2, 3), (3, 2)] {
            let mut diagonal = vec![0.0f32; 6];
            (diagonal[0], diagonal[cols + 1]) = (3.0, -4.0);
            let norm = spectral(&diagonal, rows, cols).expect("a norm");
            assert!((norm - 4.0).abs() < 1e-14 && (frobenius(&diagonal) - 5.0).abs() < 1e-15);
        }
    }

    /// All weights with `value` in the upper left corner of every matrix.
    fn weights(settings: &Settings, value: f32) -> Vec<Vec<f32>> {
        let shapes = crate::model::parameter_shapes(&settings.sizes());
        let filled = |(_, shape): (String, Vec<usize>)| {
            let mut values = vec![0.0; shape.iter().product()];
            values[0] = value;
            values
        };
        shapes.into_iter().map(filled).collect()
    }

    /// Matrices of norm 1 that come to `after` in a step of rate 1e-3; threshold 10, scale 1 or sqrt(12 / 8).
    fn step(optimizer: &str, after: f32, clip_factor: f64) -> Result<UpdateNorms, Failure> {
        let settings = Settings { optimizer: optimizer.into(), clip: Some(10.0), ..settings() };
        let mut norms = Norms::new(&settings, weights(&settings, 1.0))?;
        assert_eq!(norms.weights()?, WeightNorms { frobenius: 14.0, spectral: 14.0 });
        norms.step(weights(&settings, after), 1e-3, clip_factor)
    }

    #[test]
    fn an_update_within_the_bound_is_measured() {
        // The decay alone is no update.
        let none = step("spectra-adamw", 1.0 - 1e-4, 1.0).expect("a step");
        assert!(none.largest < 1e-7 && none.of_bound.is_some_and(|share| share < 1e-5), "{none:?}");
        let most = step("spectra-adamw", 1.0 - 1e-4 - 0.01, 1.0).expect("a step");
        // 0.01 and the share up to the rounding of a weight of size 1, and 1.2e-7 / 0.01.
        assert!((most.largest - 0.01).abs() < 1.2e-7, "{most:?}");
        assert!(most.of_bound.is_some_and(|share| (share - 1.0).abs() < 1.2e-5), "{most:?}");
        assert!(most.tolerance.is_some_and(|tolerance| (1e-5..1e-4).contains(&tolerance)), "{most:?}");
    }

    #[test]
    fn an_update_over_the_bound_ends_the_run() {
        let over = 1.0 - 1e-4 - 0.01 * 1.0002;
        assert!(
            matches!(step("spectra-adamw", over, 1.0), Err(Failure::Run(line)) if line.contains("query"))
        );
        assert!(step("spectra-adamw", over, 1.001).is_ok(), "the schedule allows it");
        assert!(step("spectra-adamw", f32::NAN, 1.0).is_err());
        let free = step("adamw", over, 1.0).expect("no bound");
        assert_eq!((free.of_bound, free.tolerance), (None, None));
    }
}
