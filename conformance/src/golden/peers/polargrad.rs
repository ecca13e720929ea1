//! PolarGrad.

use spectra_core::backend::Backend;
use spectra_core::directions::{Direction, Momentum, PolarFirst};
use spectra_core::linalg::Polar;
use spectra_core::maps::SpectralMap;
use spectra_core::optimizer::{Recipe, StepScale};
use spectra_core::state::MOMENTUM;

use super::Run;
use crate::golden::Golden;
use crate::suite::{Judge, Outcome, Subject};

/// Eight steps with the exact polar factor, of the momentum and of the gradient: weights and momentum.
///
/// Finds: the nuclear norm of another matrix, a polar factor that has not arrived, a momentum before the polar factor.
pub fn golden_polargrad<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for name in ["peer_polargrad_qdwh", "peer_polargrad_first"] {
        let case = &Golden::load(name)?;
        case.hyper_must_be("method", "qdwh")?;
        // Ours to rounding error; so is the program's with so many.
        case.hyper_must_be("inner_steps", 20)?;
        let mu = case.hyper_number("momentum")?;
        let weight_decay = case.hyper_number("weight_decay")?;
        let averaged = Momentum { mu, nesterov: false, averaged: true };
        let rule = if case.hyper_flag("polar_first")? {
            let direction = Direction::PolarFirst(PolarFirst { mu, polar: Polar::EXACT });
            Recipe { direction, weight_decay, ..Recipe::adamw() }
        } else {
            Recipe {
                direction: Direction::Momentum(averaged),
                map: SpectralMap::Orthogonalize(Polar::EXACT),
                scale: StepScale::InnerProduct,
                weight_decay,
                ..Recipe::adamw()
            }
        };
        let (lr, buffers) = (case.hyper_number("lr")?, [("M", MOMENTUM)]);
        Run { judge: &mut judge, subject, case, lr, buffers: &buffers }.compare(&rule, |_, _, _| Ok(()))?;
    }
    judge.finish()
}
