//! The golden runs of the baseline optimizers, as recipes.

use std::error::Error;

use spectra_core::backend::Backend;
use spectra_core::directions::{AdEmaMix, Adam, Direction, Mars, Momentum, Signum};
use spectra_core::linalg::{Polar, Steps};
use spectra_core::maps::SpectralMap;
use spectra_core::optimizer::{Rates, Recipe, StepScale};

use super::replay::{Rule, replay};
use super::{Golden, GoldenError};

/// Replays `baseline_adamw`, `baseline_ademamix*`, `baseline_signum_*`, `baseline_mars_adamw` or `baseline_muon_*` on an
/// `f64` backend;
/// the largest error as a fraction of the case's tolerance.
///
/// # Errors
/// A case that is none of these, a missing array, or an error of the backend.
pub fn replay_baseline<B: Backend<Element = f64>>(backend: &B, name: &str) -> Result<f64, Box<dyn Error>> {
    let case = Golden::load(name)?;
    let lr = case.hyper_number("lr")?;
    let weight_decay = case.hyper_number("weight_decay")?;
    let elementwise = |direction| {
        let recipe = Recipe::new(direction, SpectralMap::Identity, StepScale::One, weight_decay);
        Rule::new(recipe)
    };
    let adam = |betas: &str| -> Result<Adam, Box<dyn Error>> {
        let betas = case.hyper_numbers(betas)?;
        Ok(Adam { beta1: betas[0], beta2: betas[1], eps: case.hyper_number("eps")? })
    };
    let rates = |_| Rates::new(lr);
    let error = match name {
        "baseline_adamw" => {
            let rule = elementwise(Direction::Adam(adam("betas")?));
            replay(backend, &case, |_, _| rule, rates)
        }
        "baseline_ademamix" | "baseline_ademamix_warm" => {
            let warmup = |name| Ok::<_, GoldenError>(case.hyper_optional_count(name)?.unwrap_or(0) as u64);
            let rule = elementwise(Direction::AdEmaMix(AdEmaMix {
                adam: adam("betas")?,
                beta3: case.hyper_numbers("betas")?[2],
                alpha: case.hyper_number("alpha")?,
                alpha_warmup: warmup("alpha_warmup")?,
                beta3_warmup: warmup("beta3_warmup")?,
            }));
            replay(backend, &case, |_, _| rule, rates)
        }
        "baseline_mars_adamw" => {
            let gamma = case.hyper_number("gamma")?;
            case.hyper_must_be("mars_type", "mars-adamw")?;
            // The last step's gradient, not a second backward pass; vectors by AdamW.
            case.hyper_must_be("is_approx", true)?;
            case.hyper_must_be("optimize_1d", false)?;
            let matrix = elementwise(Direction::Mars(Mars { adam: adam("betas")?, gamma }));
            let mut vector = elementwise(Direction::Adam(adam("betas_1d")?));
            vector.lr_ratio = case.hyper_number("lr_1d")? / lr;
            vector.recipe.weight_decay = case.hyper_number("weight_decay_1d")?;
            replay(backend, &case, |_, is_vector| if is_vector { vector } else { matrix }, rates)
        }
        signum if signum.starts_with("baseline_signum_") => {
            let nesterov = case.hyper_flag("nesterov")?;
            let mut rule =
                elementwise(Direction::Signum(Signum { mu: case.hyper_number("momentum")?, nesterov }));
            case.hyper_must_be("dampening", 0)?;
            if case.hyper_text("buffer_init")?.starts_with("(1-lr*wd)*P0") {
                rule.momentum_start = 1.0 - lr * weight_decay;
            }
            replay(backend, &case, |_, _| rule, rates)
        }
        muon if muon.starts_with("baseline_muon_") => {
            let (polar, scale) = if muon == "baseline_muon_kellerjordan" {
                case.hyper_must_be("scale", "max(1,rows/cols)^0.5")?;
                (Polar::MUON, StepScale::AspectRatio)
            } else {
                let scale = match case.hyper_text("adjust_lr_fn")? {
                    "original" => StepScale::AspectRatio,
                    "match_rms_adamw" => StepScale::MaxDimension { factor: 0.2 },
                    other => return Err(format!("{muon}: no scale {other}").into()),
                };
                (Polar::MUON_TORCH, scale)
            };
            let direction = Direction::Momentum(Momentum {
                mu: case.hyper_number("momentum")?,
                nesterov: case.hyper_flag("nesterov")?,
                averaged: true,
            });
            let steps = Steps::Fixed(case.hyper_count("ns_steps")?);
            let map = SpectralMap::Orthogonalize(Polar { steps, ..polar });
            let rule = Rule::new(Recipe::new(direction, map, scale, weight_decay));
            replay(backend, &case, |_, _| rule, rates)
        }
        other => Err(format!("{other} is not the golden run of a baseline").into()),
    }?;
    case.finish()?;
    Ok(error)
}
