//! The learning rate over a run: warm-up, constant, decay by the square root.

use spectra_core::schedules::{DecayCurve, FinalDecay, LearningRateSchedule, Span};

use crate::{Failure, Settings};

/// The factors of the peak learning rate.
pub fn schedule(settings: &Settings) -> Result<LearningRateSchedule, Failure> {
    let steps = settings.steps as u64;
    let decay =
        FinalDecay { curve: DecayCurve::Sqrt, span: Span::Fraction(settings.decay), final_factor: 0.0 };
    let warmup = Span::Fraction(settings.warmup);
    // The first step is not wasted on a rate of zero.
    let initial = 1.0 / warmup.steps_of(steps).max(1) as f64;
    LearningRateSchedule::wsd(steps, decay)
        .and_then(|schedule| schedule.with_warmup(warmup, initial))
        .map_err(|error| Failure::input(format!("--warmup and --decay do not fit into the run: {error}")))
}

/// The last step, counted from 0, before the learning rate begins to fall.
pub fn last_step_at_peak(settings: &Settings) -> usize {
    let decay = Span::Fraction(settings.decay).steps_of(settings.steps as u64) as usize;
    settings.steps.saturating_sub(decay + 1)
}
