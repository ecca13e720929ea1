//! The learning rate over a run: warm-up, constant, decay by the square root; and the clip thresholds that go with it.

use spectra_core::backend::Error;
use spectra_core::schedules::{ClipSchedule, DecayCurve, FinalDecay, LearningRateSchedule, Span};

use crate::{Failure, Settings};

/// The factors of the peak learning rate.
pub fn schedule(settings: &Settings) -> Result<LearningRateSchedule, Failure> {
    let steps = settings.steps as u64;
    let decay = decay(DecayCurve::Sqrt, settings);
    let warmup = Span::Fraction(settings.warmup);
    // The first step is not wasted on a rate of zero.
    let initial = 1.0 / warmup.steps_of(steps).max(1) as f64;
    LearningRateSchedule::wsd(steps, decay)
        .and_then(|schedule| schedule.with_warmup(warmup, initial))
        .map_err(|error| Failure::input(format!("--warmup and --decay do not fit into the run: {error}")))
}

/// From 1 to 0 over the last steps, as long as the learning rate's.
fn decay(curve: DecayCurve, settings: &Settings) -> FinalDecay {
    FinalDecay { curve, span: Span::Fraction(settings.decay), final_factor: 0.0 }
}

/// The factors of the thresholds of spectral clip and pre-clip over a run.
pub struct ClipFactors {
    clip: Option<ClipSchedule>,
    pre_clip: Option<ClipSchedule>,
}

impl ClipFactors {
    /// The spectral clip's threshold rises in the warm-up as the learning rate falls short of its peak, so that their
    /// product stays (2603.14315, section 5.2), unless `fixed-clip`. The pre-clip's does not: it has no part in
    /// the size of a step. Either decays with the learning rate if its decay is set.
    pub fn new(settings: &Settings) -> Result<Self, Failure> {
        let rate = schedule(settings)?;
        let factors = |flag: &str, curve: &Option<String>, fixed: bool| {
            let refused = |error: Error| Failure::input(format!("{flag}: {error}"));
            let mut threshold = ClipSchedule::new(rate);
            if fixed {
                threshold = threshold.without_warmup();
            }
            let Some(curve) = curve else { return Ok(threshold) };
            threshold.with_decay(decay(curve.parse().map_err(refused)?, settings)).map_err(refused)
        };
        Ok(Self {
            clip: settings
                .clip
                .map(|_| factors("--clip-decay", &settings.clip_decay, settings.fixed_clip))
                .transpose()?,
            pre_clip: settings
                .pre_clip
                .map(|_| factors("--pre-clip-decay", &settings.pre_clip_decay, true))
                .transpose()?,
        })
    }

    /// Of the clip and of the pre-clip at 0-based `step`; `None` if the optimizer has neither.
    pub fn at(&self, step: u64) -> Option<(f64, f64)> {
        let factor =
            |threshold: &Option<ClipSchedule>| threshold.map_or(1.0, |threshold| threshold.factor(step));
        (self.clip.is_some() || self.pre_clip.is_some()).then(|| (factor(&self.clip), factor(&self.pre_clip)))
    }
}

/// The last step, counted from 0, before the learning rate begins to fall.
pub fn last_step_at_peak(settings: &Settings) -> usize {
    let decay = Span::Fraction(settings.decay).steps_of(settings.steps as u64) as usize;
    settings.steps.saturating_sub(decay + 1)
}
