//! Scion.

use spectra_core::backend::Backend;
use spectra_core::directions::{Direction, Momentum};
use spectra_core::linalg::{Normalization, Polar, Steps};
use spectra_core::maps::SpectralMap;
use spectra_core::optimizer::{Rates, Recipe, StepScale};
use spectra_core::state::MOMENTUM;

use super::{Parameter, Run, check_muons_digits};
use crate::golden::{Golden, names};
use crate::suite::{Judge, Outcome, Subject};

/// Eight steps in and without the ball, matrices by their polar factor and vectors by their RMS: weights and momentum.
///
/// Finds: a momentum of the usual meaning, a ratio that is kept from 1, eps of the RMS forgotten.
pub fn golden_scion<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for name in names("peer_scion_")? {
        let case = &Golden::load(&name)?;
        check_muons_digits(case)?;
        let (lr, radius) = (case.hyper_number("lr")?, case.hyper_number("scale")?);
        let momentum = Momentum { mu: 1.0 - case.hyper_number("momentum")?, nesterov: false, averaged: true };
        let normalization = Normalization::Added { factor: 1.0, eps: case.hyper_number("ns_eps")? };
        let polar =
            Polar { steps: Steps::Fixed(case.hyper_count("ns_steps")?), normalization, ..Polar::MUON };
        let matrix = Recipe {
            direction: Direction::Momentum(momentum),
            map: SpectralMap::Orthogonalize(polar),
            scale: StepScale::RmsOperator { radius },
            weight_decay: if case.hyper_flag("unconstrained")? { 0.0 } else { 1.0 },
            ..Recipe::adamw()
        };
        let scale = StepScale::MatchRms { rms: radius, eps: 1e-8 };
        let vector = Recipe { map: SpectralMap::Identity, scale, ..matrix };
        let rule = |p: &Parameter| (if p.is_vector { vector } else { matrix }, Rates::new(lr));
        let buffers = [("M", MOMENTUM)];
        let mut run = Run { judge: &mut judge, subject, case, lr, buffers: &buffers };
        run.compare_each(rule, |_, _, _| Ok(()))?;
    }
    judge.finish()
}
