//! Schedules as settings, by the model's step.

use super::{run, step};
use spectra_core::optimizer::plan::Rule;
use spectra_core::optimizer::{Config, ParameterSpec, PreClip};
use spectra_core::schedules::{ClipSchedule, FinalDecay, LearningRateSchedule, Span};

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn specs() -> Vec<ParameterSpec> {
    Vec::from([
        ParameterSpec::new("a", (6, 9), Rule::Spectral),
        ParameterSpec::new("b", (1, 9), Rule::Elementwise),
    ])
}

#[test]
fn schedules_of_the_settings_are_those_driven_by_hand() -> TestResult {
    let wsd = LearningRateSchedule::wsd(8, FinalDecay::default())?.with_warmup(Span::Steps(3), 0.1)?;
    let (clip, pre) =
        (ClipSchedule::new(wsd), ClipSchedule::new(wsd).without_warmup().with_decay(FinalDecay::default())?);
    let plain = Config::preset("spectra-adamw")?.lr(0.01).clip_threshold(0.5).pre_clip(PreClip::new(1.0));
    let scheduled = plain.lr_schedule(wsd).clip_schedule(clip).pre_clip_schedule(pre);
    let (_, by_settings) = run(scheduled, specs(), 8)?;

    let (mut optimizer, mut by_hand) = run(plain, specs(), 0)?;
    for t in 0..8 {
        optimizer.set_learning_rate(0.01 * wsd.factor(t))?;
        optimizer.set_clip_factor(clip.factor(t))?;
        optimizer.set_pre_clip_factor(pre.factor(t))?;
        step(&mut optimizer, &mut by_hand, t..t + 1)?;
    }
    assert_eq!(by_settings, by_hand);

    // Resumed, it goes on where it was.
    let (half, mut weights) = run(scheduled, specs(), 4)?;
    let (mut resumed, _) = run(scheduled, specs(), 0)?;
    resumed.load_snapshot(&half.snapshot()?)?;
    step(&mut resumed, &mut weights, 4..8)?;
    assert_eq!(weights, by_settings);
    Ok(())
}

#[test]
fn a_schedule_that_moves_nothing_is_refused() -> TestResult {
    let (spectra, clip) = (Config::preset("spectra")?, ClipSchedule::constant());
    for (name, config) in [
        ("`clip_schedule`", spectra.clip_schedule(clip)),
        ("`pre_clip_schedule`", spectra.pre_clip_schedule(clip)),
    ] {
        let error = config.validate::<f32>().err().ok_or("taken")?.to_string();
        assert!(error.contains(name), "{error}");
    }
    Ok(())
}
