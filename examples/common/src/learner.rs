//! What a framework provides: a model and an optimizer that train together.

use std::path::Path;
use std::time::Duration;

use spectra_core::distributed::{Communicator, Transport};

use crate::{Batch, Failure, Observation, Parameter, Settings};

/// What one training step was like.
pub struct Step {
    /// Loss before the step, in nats per byte.
    pub loss: f64,
    /// Norm of the gradient of all parameters, before clipping.
    pub gradient_norm: f64,
    /// Time taken by the optimizer alone.
    pub optimizer_time: Duration,
}

/// A model in training, written once for each framework.
pub trait Learner: Sized {
    /// A model with these initial parameters and a fresh optimizer, as `settings` name it.
    fn new(settings: &Settings, initial: &[Parameter]) -> Result<Self, Failure>;

    /// From now on this learner is one of several that train one model, each on its share of every batch: a step takes the mean of all
    /// ranks' gradients, times the [weights](Batch::weight) of their shares. All make the same calls.
    fn join<T: Transport + 'static>(&mut self, group: Communicator<T>) -> Result<(), Failure> {
        match group.size() {
            1 => Ok(()),
            _ => Err(Failure::input("this framework's program trains in one process; leave out --workers")),
        }
    }

    /// One step at this learning rate. The loss is that of the rank's own share, the norm that of the mean gradient.
    fn train(&mut self, batch: &Batch, learning_rate: f64) -> Result<Step, Failure>;

    /// The same step, watched: what happened to the matrix `weight`.
    fn train_watched(
        &mut self,
        batch: &Batch,
        learning_rate: f64,
        weight: &str,
    ) -> Result<(Step, Observation), Failure>;

    /// Sets the factors of the spectral clip's threshold and of the pre-clip's for the steps that follow. Called before
    /// every step of an optimizer that clips, and only there.
    fn set_clip_factors(&mut self, _clip: f64, _pre_clip: f64) -> Result<(), Failure> {
        Err(Failure::input(
            "this framework's program cannot schedule clip thresholds; leave out presets that clip",
        ))
    }

    /// The values of all weights, in the order of the initial parameters; `None` if this framework's program does not
    /// show them, and then no norms are measured.
    fn weights(&self) -> Result<Option<Vec<Vec<f32>>>, Failure> {
        Ok(None)
    }

    /// Mean loss over a batch, in nats per byte.
    fn loss(&self, batch: &Batch) -> Result<f64, Failure>;

    /// Logits of the byte that follows `bytes`.
    fn logits(&self, bytes: &[u8]) -> Result<Vec<f32>, Failure>;

    /// Bytes of optimizer state.
    fn state_bytes(&self) -> usize;

    /// Writes model and optimizer into a new folder. All ranks call it together, of which one has a folder; the others give what is theirs.
    fn save(&mut self, folder: Option<&Path>) -> Result<(), Failure>;

    /// Reads back what [`save`](Self::save) wrote, on every rank; a fault of the files is [`Failure::Input`].
    fn load(&mut self, folder: &Path) -> Result<(), Failure>;
}
