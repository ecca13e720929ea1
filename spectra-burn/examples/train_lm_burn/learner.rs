//! The decoder in training, for the program that all frameworks share.

use std::path::Path;
use std::time::Instant;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use spectra_burn::{Hybrid, SpectralConfig};
use spectra_core::state::MOMENTUM;
use spectra_examples::{Batch, Failure, Learner, Observation, Parameter, Settings, Step, optimizers};

use crate::model::{Decoder, cross_entropy};
use crate::values::{matrix, values};

pub(crate) struct BurnLearner {
    settings: Settings,
    config: SpectralConfig,
    /// Absent only during a step.
    model: Option<Decoder>,
    optimizer: Hybrid,
}

impl Learner for BurnLearner {
    fn new(settings: &Settings, initial: &[Parameter]) -> Result<Self, Failure> {
        if settings.by_head || settings.average.is_some() {
            return Err(Failure::input("burn's program has neither --by-head nor --average; leave them out"));
        }
        let config = SpectralConfig::try_from(optimizers::config(settings)?).map_err(Failure::input)?;
        let model = Decoder::new(&settings.sizes(), initial, &Device::flex().autodiff())?;
        let optimizer = config.init_for(&model).map_err(Failure::input)?;
        Ok(Self { settings: settings.clone(), config, model: Some(model), optimizer })
    }

    fn train(&mut self, batch: &Batch, learning_rate: f64) -> Result<Step, Failure> {
        self.step(batch, learning_rate, |_, _| ()).map(|(step, ())| step)
    }

    fn train_watched(
        &mut self,
        batch: &Batch,
        learning_rate: f64,
        weight: &str,
    ) -> Result<(Step, Observation), Failure> {
        let before = matrix(self.model()?, None, weight)?;
        let (step, gradient) =
            self.step(batch, learning_rate, |model, gradients| matrix(model, Some(gradients), weight))?;
        let after = matrix(self.model()?, None, weight)?;
        let momentum = self.optimizer.buffer(weight, MOMENTUM).map_err(Failure::run)?;
        let momentum = momentum.ok_or_else(|| Failure::run(format!("{weight} has no momentum")))?;
        let [rows, columns] = momentum.dims();
        Ok((
            step,
            Observation {
                rows,
                columns,
                gradient: gradient?,
                momentum: momentum.try_into_vec_as::<f32>().map_err(Failure::run)?,
                // With the small share of weight decay.
                update: before.iter().zip(&after).map(|(before, after)| before - after).collect(),
            },
        ))
    }

    fn set_clip_factors(&mut self, clip: f64, pre_clip: f64) -> Result<(), Failure> {
        self.optimizer.set_clip_factor(clip).map_err(Failure::run)?;
        self.optimizer.set_pre_clip_factor(pre_clip).map_err(Failure::run)
    }

    fn weights(&self) -> Result<Option<Vec<Vec<f32>>>, Failure> {
        let named = values(self.model()?, None, |_| true)?;
        Ok(Some(named.into_iter().map(|(_, values)| values).collect()))
    }

    fn loss(&self, batch: &Batch) -> Result<f64, Failure> {
        let logits = self.model()?.valid().forward(&batch.inputs, batch.sequences, &self.settings.sizes());
        number(cross_entropy(logits, &batch.targets))
    }

    fn logits(&self, bytes: &[u8]) -> Result<Vec<f32>, Failure> {
        let inputs: Vec<_> = bytes.iter().map(|&byte| u32::from(byte)).collect();
        let logits = self.model()?.valid().forward(&inputs, 1, &self.settings.sizes());
        logits.narrow(0, inputs.len() - 1, 1).try_into_vec_as().map_err(Failure::run)
    }

    fn state_bytes(&self) -> usize {
        self.optimizer.state_bytes()
    }

    fn save(&mut self, folder: Option<&Path>) -> Result<(), Failure> {
        let Some(folder) = folder else { return Ok(()) };
        self.model()?.clone().save_file(folder.join("model.bpk")).map_err(Failure::run)?;
        self.optimizer.save(folder.join("optimizer.bpk")).map_err(Failure::run)
    }

    fn load(&mut self, folder: &Path) -> Result<(), Failure> {
        let model = self.model()?.clone().try_load_file(folder.join("model.bpk")).map_err(Failure::input)?;
        // Loading may give parameters other numbers.
        let mut optimizer = self.config.init_for(&model).map_err(Failure::input)?;
        optimizer.load(folder.join("optimizer.bpk")).map_err(Failure::input)?;
        (self.model, self.optimizer) = (Some(model), optimizer);
        Ok(())
    }
}

impl BurnLearner {
    fn model(&self) -> Result<&Decoder, Failure> {
        self.model.as_ref().ok_or_else(|| Failure::run("the model was lost in a step"))
    }

    /// One step; `look` sees model and gradients before it.
    fn step<R>(
        &mut self,
        batch: &Batch,
        learning_rate: f64,
        look: impl FnOnce(&Decoder, &GradientsParams) -> R,
    ) -> Result<(Step, R), Failure> {
        let model = self.model()?;
        let logits = model.forward(&batch.inputs, batch.sequences, &self.settings.sizes());
        let loss = cross_entropy(logits, &batch.targets);
        let gradients = GradientsParams::from_grads(loss.backward(), model);
        let looked = look(model, &gradients);
        let loss = number(loss)?;

        let begun = Instant::now();
        let Some(model) = self.model.take() else { return Err(Failure::run("the model was lost in a step")) };
        let stepped = self.optimizer.step(learning_rate, model, gradients);
        let optimizer_time = begun.elapsed();
        let (model, refused) = match stepped {
            Ok(model) => (model, None),
            Err(refused) => (refused.module, Some(refused.error)),
        };
        self.model = Some(model);
        if let Some(error) = refused {
            return Err(Failure::run(error));
        }
        let norm = self
            .optimizer
            .gradient_norm()
            .map_err(Failure::run)?
            .ok_or_else(|| Failure::run("the step took no gradient"))?;
        Ok((Step { loss, gradient_norm: norm, optimizer_time }, looked))
    }
}

fn number(tensor: Tensor<1>) -> Result<f64, Failure> {
    let values = tensor.try_into_vec_as::<f64>().map_err(Failure::run)?;
    values.first().copied().ok_or_else(|| Failure::run("a loss without a value"))
}
