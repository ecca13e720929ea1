//! The run of Spectra by two rules that are composed of their parts. Settings as data, which the optimizer of a whole model has, link every rule of
//! the library; types link what they name.

use crate::data::{HELD_BACK, TRAINING};
use crate::layer::Layer;
use crate::report::Report;
use crate::tuning::{SPECTRA, STEPS};
use spectra_core::backend::{Gradient, Result};
use spectra_core::dense::Dense;
use spectra_core::directions::{Adam, Momentum};
use spectra_core::linalg::Workspace;
use spectra_core::maps::{Identity, TailShrink};
use spectra_core::optimizer::{ParameterState, Rates};
use spectra_core::rules::Composed;
use spectra_core::scales::StepScale;

/// Fine-tunes the layer; `report` is told of every step.
///
/// # Errors
/// Those of the rules.
pub fn tune_lean(mut report: impl FnMut(&Report)) -> Result<()> {
    let matrix = Composed::new(Momentum::polyak(0.95), TailShrink::PAPER, StepScale::RMS);
    let vector = Composed::new(Adam::PYTORCH, Identity, StepScale::One);
    let (mut weights, mut bias) = (ParameterState::new(matrix)?, ParameterState::new(vector)?);
    let mut workspace = Workspace::new(Dense::<f32>::new());
    let (mut layer, mut gradient) = (Layer::pretrained(), Layer::zeros());
    for step in 1..=STEPS {
        let right = (layer.right(&HELD_BACK), HELD_BACK.len());
        let loss = layer.loss(&TRAINING, &mut gradient);
        let of = Gradient::new(&gradient.weights);
        weights.step(&mut layer.weights, &of, Rates::new(SPECTRA.lr), &mut workspace)?;
        let of = Gradient::new(&gradient.bias);
        bias.step(&mut layer.bias, &of, Rates::new(SPECTRA.bias_lr), &mut workspace)?;
        report(&Report { preset: SPECTRA.preset, step, loss, right, checksum: layer.checksum() });
    }
    Ok(())
}
