//! A step of every preset on a whole model's matrices.

use spectra_core::backend::Result;
use spectra_core::faer::FaerElement;
use spectra_core::optimizer::{Config, Method};
use spectra_examples::steps::{QWEN3_LAYER, Steps};

use crate::measure::{Report, least};

/// Layers of Qwen3-0.6B. Presets without products of whole matrices are timed on all of them; the others, at half a second a
/// layer, on one.
const LAYERS: usize = 28;

/// Measures and prints every preset.
pub(crate) fn table<E: FaerElement>(report: &mut Report, quick: bool) -> Result<()> {
    report.say("a step on the matrices of Qwen3-0.6B's layers, 15.7 million weights each");
    report
        .say(&format!("{:20}{:>8}{:>14}{:>14}{:>16}", "preset", "layers", "ms", "ms a layer", "state bytes"));
    for (name, ..) in Method::presets() {
        let layers = match (quick, name) {
            (false, "spectra" | "adamw" | "signum" | "ademamix" | "mars" | "sgd-m") => LAYERS,
            _ => 1,
        };
        let mut steps = Steps::<E>::new(Config::preset(name)?, &QWEN3_LAYER.repeat(layers))?;
        let seconds = least(|| steps.step())?;
        let (ms, state) = (seconds * 1e3, steps.state_bytes());
        report.say(&format!("{name:20}{layers:>8}{ms:>14.1}{:>14.2}{state:>16}", ms / layers as f64));
        report.keep::<E>((layers * QWEN3_LAYER.len(), 0, 0), name, seconds);
    }
    Ok(())
}
