//! A network learns from another, by an optimizer of the library.

use crate::spectrum::singular_values;
use crate::teacher::{Lesson, Network};
use alloc::vec::Vec;
use spectra_core::backend::Result;
use spectra_core::dense::Dense;
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec, plan::Rule};
use spectra_core::schedules::LearningRateSchedule;

/// Of the network.
pub const INPUTS: usize = 16;
/// Of the network.
pub const HIDDEN: usize = 24;
pub(crate) const OUTPUTS: usize = 6;
pub(crate) const SAMPLES: usize = 192;
/// Steps of a run, over which the learning rate falls to zero.
pub const STEPS: u64 = 240;

/// An optimizer that the page offers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preset {
    /// Its name in the library.
    pub name: &'static str,
    /// The learning rate of the hidden layer: the best power of two at a condition of 32, which the example `host` prints.
    pub lr: f64,
}

/// The optimizers.
pub const PRESETS: [Preset; 3] = [
    Preset { name: "adamw", lr: 0.125 },
    Preset { name: "muon", lr: 0.0625 },
    Preset { name: "spectra", lr: 0.125 },
];

/// AdamW's learning rate of the head, which is the same in all runs.
const HEAD_LR: f64 = 0.02;

/// What a step shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The loss before it.
    pub loss: f64,
    /// The singular values of what the step subtracts from the hidden layer.
    pub update: Vec<f64>,
}

/// A run.
#[derive(Debug)]
pub struct Training {
    lesson: Lesson,
    student: Network,
    optimizer: Optimizer<Dense<f64>>,
}

impl Training {
    /// A run with this learning rate of the hidden layer; `condition`: how much stronger the strongest direction of the inputs is than the weakest.
    ///
    /// # Errors
    /// A preset that does not exist, a setting outside its domain.
    pub fn new(preset: &str, lr: f64, condition: f64) -> Result<Self> {
        let config = Config::preset(preset)?
            .lr(lr)
            .elementwise_lr(HEAD_LR)
            .weight_decay(0.0)
            .lr_schedule(LearningRateSchedule::cosine(STEPS, 0.0)?);
        let student = Network::random(HIDDEN, 20)?;
        let parameters = [
            ParameterSpec::new("hidden", (HIDDEN, INPUTS), Rule::Spectral),
            ParameterSpec::new("head", (OUTPUTS, HIDDEN), Rule::Elementwise),
        ];
        let optimizer = Optimizer::new(Dense::new(), config, parameters)?;
        Ok(Self { lesson: Lesson::new(condition)?, student, optimizer })
    }

    /// Takes a step.
    ///
    /// # Errors
    /// Those of the optimizer: a gradient that is not finite.
    pub fn step(&mut self) -> Result<Seen> {
        let Self { lesson, student, optimizer } = self;
        let (loss, gradient) = student.loss(lesson)?;
        let gradients = [&gradient.hidden, &gradient.head];
        let observed = optimizer.observe(gradients.into_iter().enumerate(), &[(0, &student.hidden)])?;
        let mut update = Vec::new();
        for observation in &observed {
            let values = singular_values(&observation.update)?;
            update.extend(values.iter().map(|value| observation.rates.lr * value));
        }
        optimizer
            .step(&mut [(&mut student.hidden, &gradient.hidden), (&mut student.head, &gradient.head)])?;
        Ok(Seen { loss, update })
    }

    /// The loss as it is now.
    ///
    /// # Errors
    /// None of this backend.
    pub fn loss(&self) -> Result<f64> {
        Ok(self.student.loss(&self.lesson)?.0)
    }
}
