//! A run: so many steps of an optimizer.

use crate::data::{CLASSES, HELD_BACK, PIXELS, TRAINING};
use crate::layer::Layer;
use core::fmt;
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

/// The runs of the two programs.
pub const RUNS: [Run; 3] = [
    Run { preset: "spectra", lr: 0.1, bias_lr: 0.03 },
    Run { preset: "muon", lr: 0.1, bias_lr: 0.03 },
    Run { preset: "adamw", lr: 0.03, bias_lr: 0.03 },
];

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// Its name.
    pub preset: &'static str,
    /// Steps taken.
    pub step: u64,
    /// The loss before the last of them.
    pub loss: f32,
    /// Images held back that were taken for what they are before the last step, and how many there are.
    pub right: (usize, usize),
    /// Over the bits of all weights.
    pub checksum: u64,
}

impl Report {
    /// Whether the programs print it: not every step.
    pub fn is_told(&self) -> bool {
        self.step.is_multiple_of(10) || self.step == 1
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { preset, step, loss, right: (right, all), checksum } = self;
        let bits = loss.to_bits();
        write!(
            f,
            "{preset:<8} step {step:>2}: loss {loss:.6} ({bits:08x}), {right} of {all} right, weights {checksum:016x}"
        )
    }
}

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
