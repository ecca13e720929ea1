//! NorMuon in three programs.

use spectra_core::backend::Backend;
use spectra_core::directions::{Adam, Direction, Momentum};
use spectra_core::linalg::{Normalization, Polar, Published, Steps};
use spectra_core::maps::{Guard, SecondMoment, SpectralMap};
use spectra_core::optimizer::{Method, Rates, Recipe, StepScale};
use spectra_core::rules::Cautious;
use spectra_core::state::{MAPPED_SECOND_MOMENT, MOMENTUM};

use super::polar_express::check_digits;
use super::{Run, check_muons_digits};
use crate::golden::Golden;
use crate::suite::{Failure, Judge, Outcome, Subject};

/// Eight steps of the authors' program with its auxiliary Adam, of microsoft/dion's and of modded-nanogpt's: weights, momentum and
/// second moment.
///
/// Finds: a second moment of the other axis, with bias correction, a norm that is not kept, a guard of another form.
pub fn golden_normuon<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    official(&mut judge, subject)?;
    dion(&mut judge, subject)?;
    modded(&mut judge, subject)?;
    judge.finish()
}

const BUFFERS: [(&str, &str); 2] = [("M", MOMENTUM), ("V", MAPPED_SECOND_MOMENT)];

fn recipe(momentum: Momentum, polar: Polar, moment: SecondMoment, scale: StepScale) -> Recipe {
    let map = SpectralMap::Normalized { polar, moment };
    Recipe::new(Direction::Momentum(momentum), map, scale, 0.0)
}

fn official<B: Backend>(judge: &mut Judge, subject: &Subject<B>) -> Result<(), Failure> {
    let case = &Golden::load("peer_normuon_official")?;
    check_muons_digits(case)?;
    case.hyper_must_be("scale", "sqrt(max(1,rows/cols))")?;
    let number = |name| case.hyper_number(name);
    let moment = SecondMoment {
        beta2: number("normuon.beta2")?,
        guard: Guard::Added { eps: number("eps_row")? },
        norm: Some(Guard::Added { eps: number("eps_norm")? }),
        ..SecondMoment::NORMUON
    };
    let polar = Polar { steps: Steps::Fixed(case.hyper_count("ns_steps")?), ..Polar::MUON };
    let momentum =
        Momentum { mu: number("normuon.momentum")?, nesterov: case.hyper_flag("nesterov")?, averaged: true };
    let matrix = recipe(momentum, polar, moment, StepScale::AspectRatio);
    let matrix = matrix.with_weight_decay(number("normuon.weight_decay")?);
    let betas = case.hyper_numbers("aux_adam.betas")?;
    let adam = Adam { beta1: betas[0], beta2: betas[1], eps: number("aux_adam.eps")? };
    let vector = Recipe { direction: Direction::Adam(adam), ..Recipe::adamw() };
    let vector = vector.with_weight_decay(number("aux_adam.weight_decay")?);
    let (lr, aux) = (number("normuon.lr")?, number("aux_adam.lr")?);
    let mut run = Run { judge, subject, case, lr, buffers: &BUFFERS };
    let rule = |p: &super::Parameter| {
        if p.is_vector { (vector, Rates::new(aux)) } else { (matrix, Rates::new(lr)) }
    };
    run.compare_each(rule, |_, _, _| Ok(()))
}

fn dion<B: Backend>(judge: &mut Judge, subject: &Subject<B>) -> Result<(), Failure> {
    let case = &Golden::load("peer_normuon_dion")?;
    let number = |name| case.hyper_number(name);
    check_digits(case, "pe_coeffs", Published::PolarExpressShort)?;
    case.hyper_must_be("cautious_wd", true)?;
    case.hyper_must_be("adjust_lr", "rms_norm")?;
    let moment = SecondMoment {
        beta2: number("muon_beta2")?,
        guard: Guard::Added { eps: number("eps_row")? },
        norm: Some(Guard::Clamped { eps: number("eps_norm_clamp")? }),
        ..SecondMoment::NORMUON_DION
    };
    let normalization = Normalization::Added { factor: number("pe_safety")?, eps: number("epsilon")? };
    let polar = Polar { normalization, ..Polar::POLAR_EXPRESS_SHORT };
    let momentum = Momentum { mu: number("mu")?, nesterov: case.hyper_flag("nesterov")?, averaged: false };
    let rule = recipe(momentum, polar, moment, StepScale::MaxDimension { factor: 0.2 });
    let rule = Cautious::new(rule.with_weight_decay(number("weight_decay")?));
    let lr = number("lr")?;
    Run { judge, subject, case, lr, buffers: &BUFFERS }.compare(&rule, |_, _, _| Ok(()))
}

fn modded<B: Backend>(judge: &mut Judge, subject: &Subject<B>) -> Result<(), Failure> {
    let case = &Golden::load("peer_normuon_modded")?;
    let number = |name| case.hyper_number(name);
    check_digits(case, "pe_coeffs", Published::PolarExpressShort)?;
    let moment = SecondMoment { beta2: number("beta2")?, ..SecondMoment::NORMUON_MODDED };
    let normalization = Normalization::Added { factor: number("pe_safety")?, eps: number("pe_eps")? };
    let polar = Polar { normalization, ..Polar::POLAR_EXPRESS_SHORT };
    let rule = recipe(Momentum::muon(number("momentum")?), polar, moment, StepScale::AspectRatio);
    let (lr, weight_decay) = (number("lr")?, number("weight_decay")?);
    let mut run = Run { judge, subject, case, lr, buffers: &BUFFERS };
    // The program's decay has the square of the learning rate and the step scale: here it is the group's.
    let rates = |p: &super::Parameter| {
        let scale = StepScale::AspectRatio.of_shape(p.shape).unwrap_or(f64::NAN);
        Rates { weight_decay: Some(weight_decay * lr * scale), ..Rates::new(lr) }
    };
    run.compare_each(|p| (Method::from(Cautious::new(rule)), rates(p)), |_, _, _| Ok(()))
}
