//! A step of every preset on a whole model's matrices.

use spectra_core::backend::Result;
use spectra_core::faer::{Faer, FaerElement, FaerMatrix};
use spectra_core::optimizer::plan::Rule;
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec, Recipe};

use crate::measure::{Report, least, random};

/// The matrices of a layer of Qwen3-0.6B: queries, keys, values, output, gate, up, down.
const LAYER: [(&str, usize, usize); 7] = [
    ("q", 2048, 1024),
    ("k", 1024, 1024),
    ("v", 1024, 1024),
    ("o", 1024, 2048),
    ("gate", 3072, 1024),
    ("up", 3072, 1024),
    ("down", 1024, 3072),
];

/// Its layers. Presets without products are timed on all of them; the others, at seconds a layer, on one.
const LAYERS: usize = 28;

/// Measures and prints every preset.
pub(crate) fn table<E: FaerElement>(report: &mut Report, quick: bool) -> Result<()> {
    report.say("a step on the matrices of Qwen3-0.6B's layers, 15.7 million weights each");
    report
        .say(&format!("{:20}{:>8}{:>14}{:>14}{:>16}", "preset", "layers", "ms", "ms a layer", "state bytes"));
    for (name, ..) in Recipe::presets() {
        let config = Config::preset(name)?;
        let layers = match (quick, name) {
            (false, "spectra" | "adamw" | "signum" | "ademamix" | "mars" | "sgd-m") => LAYERS,
            _ => 1,
        };
        let (seconds, state) = whole_step::<E>(config, layers)?;
        let ms = seconds * 1e3;
        report.say(&format!("{name:20}{layers:>8}{ms:>14.1}{:>14.2}{state:>16}", ms / layers as f64));
        report.keep::<E>((layers * LAYER.len(), 0, 0), name, seconds);
    }
    Ok(())
}

/// The seconds of a step, and the bytes of the state.
fn whole_step<E: FaerElement>(config: Config, layers: usize) -> Result<(f64, usize)> {
    let shapes = (0..layers).flat_map(|layer| LAYER.map(|(name, rows, cols)| (layer, name, rows, cols)));
    let specs = shapes.clone().map(|(layer, name, rows, cols)| ParameterSpec {
        name: format!("layers.{layer}.{name}").into(),
        rows,
        cols,
        rule: Rule::Spectral,
    });
    let mut optimizer = Optimizer::new(Faer::<E>::new(), config, specs)?;
    let mut weights: Vec<FaerMatrix<E>> = shapes.clone().map(|(.., rows, cols)| random(rows, cols)).collect();
    let gradients: Vec<FaerMatrix<E>> = LAYER.map(|(_, rows, cols)| random(rows, cols)).into();
    let mut step = || {
        let pairs = weights.iter_mut().zip(gradients.iter().cycle());
        optimizer.par_step(&mut pairs.collect::<Vec<_>>())
    };
    step()?;
    let seconds = least(step)?;
    Ok((seconds, optimizer.state_bytes()))
}
