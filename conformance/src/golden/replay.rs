//! Replays an optimizer's golden run on a backend.

use std::error::Error;

use spectra_core::backend::{Backend, Element, Gradient, Matrix};
use spectra_core::linalg::Workspace;
use spectra_core::optimizer::{ParameterState, Rates, Recipe};
use spectra_core::state::MOMENTUM;

use super::{Golden, GoldenError};
use crate::{HostMatrix, distance::max_error};

/// How one parameter of a golden run is updated.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The recipe.
    pub recipe: Recipe,
    /// Its learning rate over the run's.
    pub lr_ratio: f64,
    /// Where the momentum starts, in multiples of the initial weights (the authors' Signum starts it at the decayed
    /// weights); 0: at zero, as everywhere else.
    pub momentum_start: f64,
}

impl Rule {
    /// The recipe at the run's learning rate, from zero.
    #[must_use]
    pub fn new(recipe: Recipe) -> Self {
        Self { recipe, lr_ratio: 1.0, momentum_start: 0.0 }
    }
}

/// Takes all steps of a run whose inputs are `P{j}_0` and `G{j}_{t}` and whose outputs are `P{j}_{t}`, with
/// `rates(t)`, t from 1. `rule` is asked once per parameter, with its index and whether it is a vector.
///
/// Returns the largest error over all recorded weights, as a fraction of the case's tolerance.
///
/// # Errors
/// A golden array that is missing, or an error of the backend.
pub fn replay<B: Backend>(
    backend: &B,
    case: &Golden,
    rule: impl Fn(usize, bool) -> Rule,
    rates: impl Fn(usize) -> Rates,
) -> Result<f64, Box<dyn Error>> {
    let tolerance = case.tolerance()?;
    let mut worst = 0.0f64;
    let mut compared = 0;
    let mut workspace = Workspace::new(backend.clone());
    let count = case.inputs().names().filter(|name| name.starts_with('P')).count();
    for j in 0..count {
        let start = format!("P{j}_0");
        let is_vector = case.inputs().array(&start)?.shape.len() == 1;
        let rule = rule(j, is_vector);
        let load = |name: &str| -> Result<HostMatrix, GoldenError> {
            let matrix = case.inputs().parameter(name)?;
            // A vector is one row, as the parameter plan has it.
            Ok(if is_vector { matrix.transposed() } else { matrix })
        };
        let initial = load(&start)?;
        let mut weights = upload(backend, &initial)?;
        let mut state = ParameterState::<B>::new(rule.recipe)?;
        if rule.momentum_start != 0.0 {
            let momentum = initial.map(|x| rule.momentum_start * x);
            state.block.state.put(MOMENTUM, upload(backend, &momentum)?);
        }
        let mut t = 1;
        while let Ok(gradient) = load(&format!("G{j}_{t}")) {
            let gradient = upload(backend, &gradient)?;
            let rates = rates(t);
            let rates = Rates { lr: rates.lr * rule.lr_ratio, ..rates };
            state.step(&mut weights, &Gradient::new(&gradient), rates, &mut workspace)?;
            let output = format!("P{j}_{t}");
            if case.outputs().names().any(|name| name == output) {
                let golden = case.outputs().array(&output)?.to_f64().ok_or("integers")?;
                worst = worst.max(max_error(&download(&weights)?, &golden) / tolerance);
                compared += 1;
            }
            t += 1;
        }
    }
    if compared == 0 {
        return Err(format!("{}: no recorded weights were reached", case.name).into());
    }
    Ok(worst)
}

pub(super) fn upload<B: Backend>(backend: &B, matrix: &HostMatrix) -> Result<B::Matrix, Box<dyn Error>> {
    let (rows, cols) = matrix.shape();
    let values: Vec<B::Element> = matrix.data.iter().map(|x| B::Element::narrow(*x)).collect();
    Ok(backend.upload(rows, cols, &values)?)
}

pub(super) fn download<M: Matrix>(matrix: &M) -> Result<Vec<f64>, Box<dyn Error>> {
    let (rows, cols) = matrix.shape();
    let mut values = vec![M::Element::narrow(0.0); rows * cols];
    matrix.read(&mut values)?;
    Ok(values.iter().map(|x| x.widen()).collect())
}
