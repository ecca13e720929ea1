//! The schedules against those of the second paper's program and PyTorch's one-cycle, at every update.

use spectra_conformance::golden::Golden;
use spectra_core::schedules::{ClipSchedule, DecayCurve, FinalDecay, LearningRateSchedule, Span};
use std::error::Error;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The curve that the program calls `name`, in its spelling.
fn curve(name: &str) -> Outcome<DecayCurve> {
    Ok(match name {
        "exp" => DecayCurve::Exponential,
        "cos" => DecayCurve::Cosine,
        "miror_cosine" => DecayCurve::MirrorCosine,
        other => other.parse()?,
    })
}

/// What the learning rates of a case have in common.
#[derive(Clone, Copy)]
struct Run {
    steps: u64,
    warmup: Span,
    initial_factor: f64,
    /// Of a one-cycle.
    last_factor: f64,
    decay: Span,
}

impl Run {
    /// The run of `schedules_lr`.
    fn new(case: &Golden) -> Outcome<Self> {
        let (steps, warmup) = (case.hyper_count("N")?, case.hyper_count("n_warmup")?);
        let initial_factor = 1.0 / case.hyper_number("init_div_factor")?;
        // The one-cycle has the same warm-up, from the same factor.
        assert_eq!(case.hyper_number("onecycle.pct_start")? * steps as f64, warmup as f64);
        assert_eq!(1.0 / case.hyper_number("onecycle.div_factor")?, initial_factor);
        let last_factor = initial_factor / case.hyper_number("onecycle.final_div_factor")?;
        let decay = Span::Fraction(case.hyper_number("fract_decay")?);
        Ok(Self {
            steps: steps as u64,
            warmup: Span::Steps(warmup as u64),
            initial_factor,
            last_factor,
            decay,
        })
    }

    /// The run of `schedules_clip_threshold`: "the official lr schedules", those of the other case.
    fn of_thresholds(case: &Golden) -> Outcome<Self> {
        let (steps, warmup) = (case.hyper_count("N")? as u64, case.hyper_count("warmup_steps")? as u64);
        Ok(Self { steps, warmup: Span::Steps(warmup), ..Self::new(&Golden::load("schedules_lr")?)? })
    }
}

/// The learning rate schedule of an array, `wsd_sqrt_final0.1`, `cos_inf_ninf15` or `onecycle_cos`.
fn learning_rate(run: &Run, name: &str) -> Outcome<LearningRateSchedule> {
    let steps = run.steps;
    let schedule = if let Some(curve_name) = name.strip_prefix("onecycle_") {
        LearningRateSchedule::one_cycle(steps, curve(curve_name)?, run.last_factor)?
    } else if let Some(hold) = name.strip_prefix("cos_inf_ninf") {
        LearningRateSchedule::cosine_with_hold(steps, Span::Steps(hold.parse()?), 0.1)?
    } else {
        let (curve_name, final_factor) =
            name.strip_prefix("wsd_").and_then(|rest| rest.split_once("_final")).ok_or("unknown array")?;
        let final_factor = final_factor.parse()?;
        let decay = FinalDecay { curve: curve(curve_name)?, span: run.decay, final_factor };
        LearningRateSchedule::wsd(steps, decay)?
    };
    Ok(schedule.with_warmup(run.warmup, run.initial_factor)?)
}

/// `scale * values(t)` against the array: the difference over the golden value, or over `min(scale, 1)` if that is larger.
fn assert_close(case: &Golden, array: &str, scale: f64, values: impl Fn(u64) -> f64) -> Outcome {
    let expected = case.outputs().vector(array)?;
    let tolerance = case.tolerance_of(array)?;
    // The longest array's updates, of which the others have the first.
    for (&step, &wanted) in case.inputs().integers("t")?.iter().zip(&expected) {
        let found = scale * values(u64::try_from(step)?);
        let error = (found - wanted).abs() / wanted.abs().max(scale.min(1.0));
        assert!(error <= tolerance, "{array} at {step}: {found}, not {wanted}");
    }
    Ok(())
}

#[test]
fn learning_rates() -> Outcome {
    let case = Golden::load("schedules_lr")?;
    let run = Run::new(&case)?;
    case.unused("hyper.base_lr", "the arrays are factors of it")?;
    let mut arrays = 0;
    for name in case.outputs().names() {
        let schedule = learning_rate(&run, name)?;
        assert_close(&case, name, 1.0, |step| schedule.factor(step))?;
        arrays += 1;
    }
    assert_eq!(arrays, 16);
    Ok(case.finish()?)
}

#[test]
fn clip_thresholds() -> Outcome {
    let case = Golden::load("schedules_clip_threshold")?;
    let run = Run::of_thresholds(&case)?;
    let (c, base_lr) = (case.hyper_number("clip_c")?, case.hyper_number("base_lr")?);
    let span = Span::Fraction(case.hyper_number("clip_decay_fract")?);
    let (mut thresholds, mut rates) = (0, 0);
    for name in case.outputs().names() {
        if let Some(rate) = name.strip_prefix("lr_") {
            let schedule = learning_rate(&run, &with_final_factor(rate))?;
            assert_close(&case, name, base_lr, |step| schedule.factor(step))?;
            rates += 1;
            continue;
        }
        // c_<learning rate schedule>_<decay of c>_final<final factor of c>
        let (names, final_factor) =
            name.strip_prefix("c_").and_then(|rest| rest.split_once("_final")).ok_or("unknown array")?;
        let (rate, decay) = names.rsplit_once('_').ok_or("unknown array")?;
        let mut threshold = ClipSchedule::new(learning_rate(&run, &with_final_factor(rate))?);
        let final_factor = final_factor.parse()?;
        if decay != "constant" {
            let curve = match (decay, final_factor) {
                // The program takes the linear curve in its stead, silently.
                ("exp", 0.0) => DecayCurve::Linear,
                _ => curve(decay)?,
            };
            threshold = threshold.with_decay(FinalDecay { curve, span, final_factor })?;
        }
        assert_close(&case, name, 1.0, |step| c * threshold.factor(step))?;
        thresholds += 1;
    }
    assert_eq!((thresholds, rates), (16, 6));
    Ok(case.finish()?)
}

/// The learning rates behind the thresholds all end at 0.
fn with_final_factor(rate: &str) -> String {
    if rate.starts_with("wsd_") { format!("{rate}_final0") } else { rate.to_owned() }
}
