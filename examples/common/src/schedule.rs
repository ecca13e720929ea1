//! The learning rate over a run: warm-up, constant, decay.

use crate::Settings;

/// Steps over which the learning rate falls.
pub fn decay_steps(settings: &Settings) -> usize {
    (settings.steps as f64 * settings.decay).round() as usize
}

/// The learning rate of `step`, counted from 0.
pub fn learning_rate(settings: &Settings, step: usize) -> f64 {
    let rise = (step + 1) as f64 / settings.warmup.max(1) as f64;
    let decay = decay_steps(settings);
    let into_decay = (step + decay).saturating_sub(settings.steps) as f64 / decay.max(1) as f64;
    settings.lr * rise.min(1.0) * (1.0 - into_decay.sqrt())
}
