//! The two rules that are called AdaMuon.

use spectra_core::backend::Backend;
use spectra_core::directions::{Direction, Momentum, Signum};
use spectra_core::linalg::{Polar, Steps};
use spectra_core::maps::{Guard, SecondMoment, SpectralMap};
use spectra_core::optimizer::{Recipe, StepScale};
use spectra_core::state::{MAPPED_SECOND_MOMENT, MOMENTUM};

use super::{Run, check_muons_digits};
use crate::golden::Golden;
use crate::suite::{Judge, Outcome, Subject};

/// Eight steps of the authors' program, which orthogonalizes the sign of the momentum, and of NVIDIA's, which knows neither sign nor norm.
///
/// Finds: a second moment before the polar factor, with bias correction, eps inside the root or added to the RMS.
pub fn golden_adamuon<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let case = &Golden::load("peer_adamuon_official")?;
    check_muons_digits(case)?;
    let (mu, eps) = (case.hyper_number("momentum")?, case.hyper_number("eps")?);
    let moment = SecondMoment { beta2: mu, guard: Guard::Added { eps }, ..SecondMoment::ADAMUON };
    let polar = Polar { steps: Steps::Fixed(case.hyper_count("ns_steps")?), ..Polar::MUON };
    let rule = Recipe {
        direction: Direction::Signum(Signum { mu, nesterov: case.hyper_flag("nesterov")? }),
        map: SpectralMap::Normalized { polar, moment },
        scale: StepScale::MatchNorm { rms: 0.2, eps },
        weight_decay: case.hyper_number("weight_decay")?,
        ..Recipe::adamw()
    };
    for j in 0..3 {
        let momentum = format!("outputs.M{j}_8");
        case.unused(&momentum, "the average, 1 - mu times our sum of the same sign")?;
    }
    let (lr, buffers) = (case.hyper_number("lr")?, [("V", MAPPED_SECOND_MOMENT)]);
    Run { judge: &mut judge, subject, case, lr, buffers: &buffers }.compare(&rule, |_, _, _| Ok(()))?;

    let case = &Golden::load("peer_adamuon_nvidia")?;
    check_muons_digits(case)?;
    case.hyper_must_be("scale", "0.2*sqrt(max(rows,cols))")?;
    let number = |name| case.hyper_number(name);
    let moment = SecondMoment {
        beta2: number("beta2")?,
        guard: Guard::Added { eps: number("eps")? },
        ..SecondMoment::ADAMUON
    };
    let rule = Recipe {
        direction: Direction::Momentum(Momentum {
            mu: number("momentum")?,
            nesterov: case.hyper_flag("nesterov")?,
            averaged: true,
        }),
        map: SpectralMap::Normalized { polar: Polar::MUON_TORCH, moment },
        scale: StepScale::MaxDimension { factor: 0.2 },
        weight_decay: number("weight_decay")?,
        ..Recipe::adamw()
    };
    let (lr, buffers) = (number("lr")?, [("M", MOMENTUM), ("V", MAPPED_SECOND_MOMENT)]);
    Run { judge: &mut judge, subject, case, lr, buffers: &buffers }.compare(&rule, |_, _, _| Ok(()))?;
    judge.finish()
}
