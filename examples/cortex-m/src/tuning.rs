//! A run: so many steps of an optimizer.

use crate::data::{CLASSES, HELD_BACK, PIXELS, TRAINING};
use crate::layer::Layer;
use crate::report::Report;
use spectra_core::backend::Result;
use spectra_core::dense::Dense;
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec, plan::Rule};

/// Steps of a run.
pub const STEPS: u64 = 40;

/// A preset and its learning rates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    /// Of the matrix.
    pub preset: &'static str,
    /// Of the matrix.
    pub lr: f64,
    /// Of the bias, which AdamW trains.
    pub bias_lr: f64,
}

/// Tail shrink.
pub const SPECTRA: Run = Run { preset: "spectra", lr: 0.1, bias_lr: 0.03 };

/// The runs of the two programs.
pub const RUNS: [Run; 3] = [
    SPECTRA,
    Run { preset: "muon", lr: 0.1, bias_lr: 0.03 },
    Run { preset: "adamw", lr: 0.03, bias_lr: 0.03 },
];

/// The layer with its optimizer.
pub(crate) struct Tuning {
    pub(crate) layer: Layer,
    pub(crate) optimizer: Optimizer<Dense<f32>>,
    gradient: Layer,
}

impl Tuning {
    pub(crate) fn new(run: &Run) -> Result<Self> {
        let config = Config::preset(run.preset)?.lr(run.lr).elementwise_lr(run.bias_lr);
        let parameters = [
            ParameterSpec::new("weight", (CLASSES, PIXELS), Rule::Spectral),
            ParameterSpec::new("bias", (1, CLASSES), Rule::Elementwise),
        ];
        let optimizer = Optimizer::new(Dense::new(), config, parameters)?;
        Ok(Self { layer: Layer::pretrained(), optimizer, gradient: Layer::zeros() })
    }

    /// A step over all images; the loss before it.
    pub(crate) fn step(&mut self) -> Result<f32> {
        let Self { layer, optimizer, gradient } = self;
        let loss = layer.loss(&TRAINING, gradient);
        optimizer.step(&mut [(&mut layer.weights, &gradient.weights), (&mut layer.bias, &gradient.bias)])?;
        Ok(loss)
    }
}

/// Fine-tunes the layer; `report` is told of every step.
///
/// # Errors
/// Those of the optimizer.
pub fn tune(run: &Run, mut report: impl FnMut(&Report)) -> Result<()> {
    let mut tuning = Tuning::new(run)?;
    for step in 1..=STEPS {
        let right = (tuning.layer.right(&HELD_BACK), HELD_BACK.len());
        let loss = tuning.step()?;
        report(&Report { preset: run.preset, step, loss, right, checksum: tuning.layer.checksum() });
    }
    Ok(())
}
