//! Steps on a sphere.

use spectra_core::backend::Backend;
use spectra_core::directions::{Adam, Direction, Momentum};
use spectra_core::linalg::Polar;
use spectra_core::maps::SpectralMap;
use spectra_core::optimizer::{Recipe, StepScale};
use spectra_core::rules::Hyperball;

use super::{Run, check_muons_digits};
use crate::golden::Golden;
use crate::suite::{Judge, Outcome, Subject};

/// Eight steps of NVIDIA's MuonHyperball on its one radius, and of Adam on the sphere of the first weights (one reading of the paper's
/// formula).
///
/// Finds: a radius of the current weights, an update that is not normalised, decay besides.
pub fn golden_hyperball<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let case = &Golden::load("peer_hyperball_muon")?;
    check_muons_digits(case)?;
    // Norms below it are taken for zero; none is.
    case.hyper_must_be("eps", 1e-15)?;
    let nesterov = case.hyper_flag("nesterov")?;
    let muon = Recipe {
        direction: Direction::Momentum(Momentum {
            mu: case.hyper_number("momentum")?,
            nesterov,
            averaged: true,
        }),
        map: SpectralMap::Orthogonalize(Polar::MUON_TORCH),
        scale: StepScale::One,
        weight_decay: 0.0,
        ..Recipe::adamw()
    };
    let rule = Hyperball::new(muon).radius(case.hyper_number("radius")?);
    let lr = case.hyper_number("lr")?;
    Run { judge: &mut judge, subject, case, lr, buffers: &[] }.compare(&rule, |_, _, _| Ok(()))?;

    let case = &Golden::load("peer_hyperball_adam")?;
    case.hyper_must_be("radius", "initial Frobenius norm")?;
    let number = |name| case.hyper_number(name);
    let adam = Adam { beta1: number("beta1")?, beta2: number("beta2")?, eps: number("epsilon")? };
    let rule = Hyperball::new(Recipe { direction: Direction::Adam(adam), ..Recipe::adamw() });
    let lr = number("lr")?;
    Run { judge: &mut judge, subject, case, lr, buffers: &[] }.compare(&rule, |_, _, _| Ok(()))?;
    judge.finish()
}
