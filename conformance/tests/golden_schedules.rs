//! The schedules against those of the second paper's program and PyTorch's one-cycle, at every update.

use spectra_conformance::golden::Golden;
use spectra_core::schedules::{ClipThreshold, DecayCurve, FinalDecay, LearningRateSchedule, Span};
use std::error::Error;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Stands for the program's exponential to 0, `0^x`: see [`FinalDecay`].
const ALMOST_ZERO: f64 = f64::MIN_POSITIVE;

/// The curve that the program calls `name`, in its spelling.
fn curve(name: &str) -> Outcome<DecayCurve> {
    Ok(match name {
        "exp" => DecayCurve::Exponential,
        "cos" => DecayCurve::Cosine,
        "miror_cosine" => DecayCurve::MirrorCosine,
        other => other.parse()?,
    })
}

/// The learning rate schedule of an array, `wsd_sqrt_final0.1`, `cos_inf_ninf15` or `onecycle_cos`.
fn learning_rate(case: &Golden, name: &str) -> Outcome<LearningRateSchedule> {
    let steps = case.hyper_count("N")? as u64;
    let warmup =
        Span::Steps(
            case.hyper_count(if case.name.ends_with("lr") { "n_warmup" } else { "warmup_steps" })? as u64
        );
    let schedule = if let Some(curve_name) = name.strip_prefix("onecycle_") {
        LearningRateSchedule::one_cycle(steps, curve(curve_name)?, 0.01)?
    } else if let Some(hold) = name.strip_prefix("cos_inf_ninf") {
        LearningRateSchedule::cosine_with_hold(steps, Span::Steps(hold.parse()?), 0.1)?
    } else {
        let (curve_name, final_factor) =
            name.strip_prefix("wsd_").and_then(|rest| rest.split_once("_final")).ok_or("unknown array")?;
        let final_factor = match (curve_name, final_factor.parse()?) {
            ("exp", 0.0) => ALMOST_ZERO,
            (_, factor) => factor,
        };
        let decay = FinalDecay { curve: curve(curve_name)?, span: Span::Fraction(0.2), final_factor };
        LearningRateSchedule::wsd(steps, decay)?
    };
    Ok(schedule.with_warmup(warmup, 0.01)?)
}

/// `scale * values(t)` against the array: the difference over the golden value, or over `min(scale, 1)` if that is larger.
fn assert_close(case: &Golden, array: &str, scale: f64, values: impl Fn(u64) -> f64) -> Outcome {
    let expected = case.outputs().vector(array)?;
    let tolerance = case.tolerance_of(array)?;
    for (step, &wanted) in expected.iter().enumerate() {
        let found = scale * values(step as u64);
        let error = (found - wanted).abs() / wanted.abs().max(scale.min(1.0));
        assert!(error <= tolerance, "{array} at {step}: {found}, not {wanted}");
    }
    Ok(())
}

#[test]
fn learning_rates() -> Outcome {
    let case = Golden::load("schedules_lr")?;
    let mut arrays = 0;
    for name in case.outputs().names() {
        let schedule = learning_rate(&case, name)?;
        assert_close(&case, name, 1.0, |step| schedule.factor(step))?;
        arrays += 1;
    }
    assert_eq!(arrays, 16);
    Ok(())
}

#[test]
fn clip_thresholds() -> Outcome {
    let case = Golden::load("schedules_clip_threshold")?;
    let (c, base_lr) = (case.hyper_number("clip_c")?, case.hyper_number("base_lr")?);
    let span = Span::Fraction(case.hyper_number("clip_decay_fract")?);
    let (mut thresholds, mut rates) = (0, 0);
    for name in case.outputs().names() {
        if let Some(rate) = name.strip_prefix("lr_") {
            let schedule = learning_rate(&case, &with_final_factor(rate))?;
            assert_close(&case, name, base_lr, |step| schedule.factor(step))?;
            rates += 1;
            continue;
        }
        // c_<learning rate schedule>_<decay of c>_final<final factor of c>
        let (names, final_factor) =
            name.strip_prefix("c_").and_then(|rest| rest.split_once("_final")).ok_or("unknown array")?;
        let (rate, decay) = names.rsplit_once('_').ok_or("unknown array")?;
        let mut threshold = ClipThreshold::new(c, learning_rate(&case, &with_final_factor(rate))?)?;
        let final_factor = final_factor.parse()?;
        if decay != "constant" {
            let curve = match (decay, final_factor) {
                // The program takes the linear curve in its stead, silently.
                ("exp", 0.0) => DecayCurve::Linear,
                _ => curve(decay)?,
            };
            threshold = threshold.with_decay(FinalDecay { curve, span, final_factor })?;
        }
        assert_close(&case, name, 1.0, |step| threshold.at(step))?;
        thresholds += 1;
    }
    assert_eq!((thresholds, rates), (16, 6));
    Ok(())
}

/// The learning rates behind the thresholds all end at 0.
fn with_final_factor(rate: &str) -> String {
    if rate.starts_with("wsd_") { format!("{rate}_final0") } else { rate.to_owned() }
}
