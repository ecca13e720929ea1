//! The decoder in training, for the program that all frameworks share.

use std::path::Path;
use std::time::Instant;

use candle_core::backprop::GradStore;
use candle_core::{Device, Var};
use candle_nn::VarMap;
use spectra_candle::plan::{Plan, PlanBuilder, Split};
use spectra_candle::{Config, DistributedOptimizer, Optimizer};
use spectra_core::distributed::{Communicator, Placing, Transport};
use spectra_examples::checkpoints::unusable;
use spectra_examples::optimizers::config;
use spectra_examples::{Batch, Failure, Learner, Observation, Parameter, Settings, Step};

use crate::average::Average;
use crate::fused::cross_entropy;
use crate::model::Decoder;
use crate::workers::Trainer;

/// Model and optimizer in one file, so that they cannot be mixed up.
const FILE: &str = "model_and_optimizer.safetensors";

/// Model and optimizer that train together.
pub struct CandleLearner {
    /// The weights by name, in the order of the model.
    named: Vec<(String, Var)>,
    decoder: Decoder,
    optimizer: Box<dyn Trainer>,
    /// How many ranks train the model.
    ranks: usize,
    config: Config,
    plan: PlanBuilder,
    /// The average of the weights and the model of it, which is validated.
    average: Option<(Average, Decoder)>,
}

impl Learner for CandleLearner {
    fn new(settings: &Settings, initial: &[Parameter]) -> Result<Self, Failure> {
        let (weights, named) = variables(initial).map_err(Failure::run)?;
        let decoder = Decoder::new(settings.sizes(), &weights).map_err(Failure::run)?;
        let config = config(settings)?;
        let plan = plan(settings);
        let optimizer = Optimizer::with_plan(&weights, config, &plan).map_err(Failure::run)?;
        let averaged = |share| {
            let average = Average::new(&named, share, settings.steps)?;
            let decoder = Decoder::new(settings.sizes(), &average.weights()?)?;
            Ok((average, decoder))
        };
        let average = settings
            .average
            .map(averaged)
            .transpose()
            .map_err(|error: candle_core::Error| Failure::run(error))?;
        let optimizer = Box::new(optimizer);
        Ok(Self { named, decoder, optimizer, ranks: 1, config, plan, average })
    }

    fn join<T: Transport + 'static>(&mut self, group: Communicator<T>) -> Result<(), Failure> {
        if group.size() > 1 {
            self.ranks = group.size();
            let named = self.named.iter().cloned();
            let optimizer =
                DistributedOptimizer::with_plan(named, self.config, &self.plan, group, &Placing::AUTO);
            self.optimizer = Box::new(optimizer.map_err(Failure::run)?);
        }
        Ok(())
    }

    fn train(&mut self, batch: &Batch, learning_rate: f64) -> Result<Step, Failure> {
        self.step(batch, learning_rate).map(|(step, _)| step).map_err(Failure::run)
    }

    fn train_watched(
        &mut self,
        batch: &Batch,
        learning_rate: f64,
        weight: &str,
    ) -> Result<(Step, Observation), Failure> {
        self.watched(batch, learning_rate, weight).map_err(Failure::run)
    }

    fn set_clip_factors(&mut self, clip: f64, pre_clip: f64) -> Result<(), Failure> {
        self.optimizer.set_clip_factors(clip, pre_clip).map_err(Failure::run)
    }

    fn weights(&self) -> Result<Option<Vec<Vec<f32>>>, Failure> {
        let values = |(_, var): &(String, Var)| var.flatten_all()?.to_vec1();
        self.named.iter().map(values).collect::<candle_core::Result<_>>().map(Some).map_err(Failure::run)
    }

    fn loss(&self, batch: &Batch) -> Result<f64, Failure> {
        let loss = || -> candle_core::Result<f32> {
            let logits = self.validated().forward(&batch.inputs, batch.sequences)?;
            cross_entropy(&logits, &batch.targets)?.to_scalar()
        };
        loss().map(f64::from).map_err(Failure::run)
    }

    fn logits(&self, bytes: &[u8]) -> Result<Vec<f32>, Failure> {
        let inputs: Vec<_> = bytes.iter().map(|&byte| u32::from(byte)).collect();
        let last = || self.validated().forward(&inputs, 1)?.get(inputs.len() - 1)?.to_vec1();
        last().map_err(Failure::run)
    }

    fn state_bytes(&self) -> usize {
        self.optimizer.state_bytes()
    }

    fn save(&mut self, folder: Option<&Path>) -> Result<(), Failure> {
        let state = self.optimizer.state_tensors().map_err(Failure::run)?;
        let (Some(folder), Some(mut tensors)) = (folder, state) else { return Ok(()) };
        tensors.extend(self.named.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())));
        if let Some((average, _)) = &self.average {
            tensors.extend(average.tensors().map_err(Failure::run)?);
        }
        candle_core::safetensors::save(&tensors, folder.join(FILE)).map_err(Failure::run)
    }

    fn load(&mut self, folder: &Path) -> Result<(), Failure> {
        let path = folder.join(FILE);
        let damaged = |error: &dyn std::fmt::Display| unusable(&path, &error.to_string());
        let tensors = candle_core::safetensors::load(&path, &Device::Cpu).map_err(|error| damaged(&error))?;
        self.optimizer.load_state_tensors(&tensors).map_err(|error| damaged(&error))?;
        for (name, var) in &self.named {
            let saved = tensors.get(name).ok_or_else(|| damaged(&format!("{name} is missing")))?;
            var.set(saved).map_err(|error| damaged(&error))?;
        }
        if let Some((average, _)) = &mut self.average {
            average.load(&tensors).map_err(|error| damaged(&error))?;
        }
        Ok(())
    }
}

/// Variables with the initial values, as the map that candle's models are built from and as a list in order.
fn variables(initial: &[Parameter]) -> candle_core::Result<(VarMap, Vec<(String, Var)>)> {
    let variable = |Parameter { name, shape, values }: &Parameter| {
        Ok((name.clone(), Var::from_slice(values, shape.as_slice(), &Device::Cpu)?))
    };
    let named = initial.iter().map(variable).collect::<candle_core::Result<Vec<_>>>()?;
    Ok((map_of(&named)?, named))
}

/// The variables as the map that candle's models are built from.
pub(crate) fn map_of(named: &[(String, Var)]) -> candle_core::Result<VarMap> {
    let weights = VarMap::new();
    match weights.data().lock() {
        Ok(mut map) => map.extend(named.iter().cloned()),
        Err(_) => candle_core::bail!("a thread panicked while it held the weights"),
    }
    Ok(weights)
}

/// Default rules, with heads apart where the settings say so.
fn plan(settings: &Settings) -> PlanBuilder {
    let heads = if settings.by_head { &Settings::BY_HEAD[..] } else { &[] };
    heads.iter().fold(Plan::builder(), |plan, pattern| plan.split(pattern, Split::heads(settings.heads)))
}

impl CandleLearner {
    /// The model whose loss is measured and which writes samples.
    fn validated(&self) -> &Decoder {
        self.average.as_ref().map_or(&self.decoder, |(_, decoder)| decoder)
    }

    fn step(&mut self, batch: &Batch, learning_rate: f64) -> candle_core::Result<(Step, GradStore)> {
        let logits = self.decoder.forward(&batch.inputs, batch.sequences)?;
        let loss = cross_entropy(&logits, &batch.targets)?;
        let weight = batch.weight(self.ranks);
        let gradients = if weight == 1.0 { loss.backward()? } else { (&loss * weight)?.backward()? };
        let begun = Instant::now();
        let gradient_norm = self.optimizer.step(&self.named, &gradients, learning_rate)?;
        let optimizer_time = begun.elapsed();
        if let Some((average, _)) = &mut self.average {
            average.take_in(&self.named)?;
        }
        Ok((Step { loss: loss.to_scalar::<f32>()?.into(), gradient_norm, optimizer_time }, gradients))
    }

    /// The update is read off the weights: `X_before - X_after`, which includes the small share of weight decay.
    fn watched(
        &mut self,
        batch: &Batch,
        learning_rate: f64,
        weight: &str,
    ) -> candle_core::Result<(Step, Observation)> {
        let Some(named) = self.named.iter().find(|(name, _)| name == weight).cloned() else {
            candle_core::bail!("there is no weight named {weight}")
        };
        let var = named.1.clone();
        let (rows, columns) = var.dims2()?;
        let before = var.as_tensor().copy()?;
        let (step, gradients) = self.step(batch, learning_rate)?;
        let gradient = self.optimizer.gradient(&named, &gradients)?;
        let momentum = self.optimizer.buffer(weight, "momentum")?;
        let (Some(gradient), Some(momentum)) = (gradient, momentum) else {
            candle_core::bail!("{weight} has no gradient or no momentum")
        };
        let update = (before - var.as_tensor())?.flatten_all()?.to_vec1::<f32>()?;
        Ok((step, Observation { rows, columns, gradient, momentum, update }))
    }
}
