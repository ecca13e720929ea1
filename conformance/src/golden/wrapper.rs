//! The golden runs of the SPECTRA wrapper (2603.14315, Algorithm 3), as recipes.

use std::error::Error;

use spectra_core::backend::Backend;
use spectra_core::directions::{AdEmaMix, Adam, Direction, Signum};
use spectra_core::maps::{SoftClip, SpectralMap, VectorRule};
use spectra_core::optimizer::{Rates, Recipe, StepScale};
use spectra_core::schedules::{ClipSchedule, DecayCurve, FinalDecay, LearningRateSchedule, Span};

use super::Golden;
use super::replay::{Rule, replay};

/// Replays `spectra_wrapper_*` on an `f64` backend; the largest error as a fraction of the case's tolerance.
///
/// Matrices are clipped to rounding error (the recorded program takes thirty Newton-Schulz steps), vectors by the
/// authors' rule where the case applies the clip to all parameters, else they are left to the base optimizer.
///
/// # Errors
/// A case that is none of these, a missing array, or an error of the backend.
pub fn replay_wrapper<B: Backend<Element = f64>>(backend: &B, name: &str) -> Result<f64, Box<dyn Error>> {
    let case = Golden::load(name)?;
    let weight_decay = case.hyper_number("weight_decay")?;
    let threshold = case.hyper_number("clip_c")?;
    let lr = case.inputs().vector("lr")?;
    let c = case.outputs().vector("effective_c")?;
    check_schedules(&case, &lr, &c)?;
    case.unused("hyper.ns_steps", "the clip here is exact to rounding")?;
    let adam = || -> Result<Adam, Box<dyn Error>> {
        let betas = case.hyper_numbers("betas")?;
        Ok(Adam { beta1: betas[0], beta2: betas[1], eps: case.hyper_number("eps")? })
    };
    let mut momentum_start = 0.0;
    let direction = match case.hyper_text("base")? {
        "adamw" => Direction::Adam(adam()?),
        "signum" => {
            case.hyper_must_be("dampening", 0)?;
            if !case.hyper_text("buffer_init")?.starts_with("(1-lr*wd)*P0") {
                return Err(format!("{name}: another start of the momentum").into());
            }
            momentum_start = 1.0 - lr[0] * weight_decay;
            Direction::Signum(Signum {
                mu: case.hyper_number("momentum")?,
                nesterov: case.hyper_flag("nesterov")?,
            })
        }
        _ => Direction::AdEmaMix(AdEmaMix {
            adam: adam()?,
            beta3: case.hyper_numbers("betas")?[2],
            alpha: case.hyper_number("alpha")?,
            alpha_warmup: case.hyper_optional_count("alpha_warmup")?.unwrap_or(0) as u64,
            beta3_warmup: case.hyper_optional_count("beta3_warmup")?.unwrap_or(0) as u64,
        }),
    };
    let clip = SoftClip { vectors: VectorRule::Official, ..SoftClip::AUTO };
    let map = SpectralMap::SoftClip { clip, threshold };
    let clipped = Recipe::new(direction, map, StepScale::AspectRatio, weight_decay);
    let plain = Recipe { map: SpectralMap::Identity, scale: StepScale::One, ..clipped };
    let all = case.hyper_text("apply_to")? == "all";
    let rule = |_, is_vector: bool| {
        let recipe = if is_vector && !all { plain } else { clipped };
        Rule { momentum_start, ..Rule::new(recipe) }
    };
    let rates = |t: usize| Rates { clip_factor: c[t - 1] / threshold, ..Rates::new(lr[t - 1]) };
    let error = replay(backend, &case, rule, rates)?;
    case.finish()?;
    Ok(error)
}

/// The recorded learning rates and thresholds are those of our schedules.
fn check_schedules(case: &Golden, lr: &[f64], c: &[f64]) -> Result<(), Box<dyn Error>> {
    case.hyper_must_be("lr_schedule", "wsd, init_div 100, sqrt decay to 0, fract 0.4")?;
    let decay = FinalDecay { curve: DecayCurve::Sqrt, span: Span::Fraction(0.4), final_factor: 0.0 };
    let schedule = LearningRateSchedule::wsd(case.hyper_count("total_steps")? as u64, decay)?
        .with_warmup(Span::Steps(case.hyper_count("warmup_steps")? as u64), 1.0 / 100.0)?;
    let clip_c = case.hyper_number("clip_c")?;
    let mut clip = ClipSchedule::new(schedule);
    let final_factor = case.hyper_number("clip_final_scale")?;
    let span = Span::Fraction(case.hyper_number("clip_decay_fract")?);
    match case.hyper_text("clip_decay_type")? {
        "constant" => {}
        curve => clip = clip.with_decay(FinalDecay { curve: curve.parse()?, span, final_factor })?,
    }
    let (base, tolerance) = (case.hyper_number("base_lr")?, case.tolerance()?);
    for (step, (lr, c)) in lr.iter().zip(c).enumerate() {
        let (own_lr, own_c) = (base * schedule.factor(step as u64), clip_c * clip.factor(step as u64));
        if (own_lr - lr).abs() > tolerance * base || (own_c - c).abs() > tolerance * c {
            return Err(
                format!("{}: step {step} has {lr} and {c}, not {own_lr} and {own_c}", case.name).into()
            );
        }
    }
    Ok(())
}
