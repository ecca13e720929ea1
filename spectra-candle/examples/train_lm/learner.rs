//! The decoder in training, for the program that all frameworks share.

use std::path::Path;
use std::time::Instant;

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, VarMap};
use spectra_examples::{Batch, Failure, Learner, Observation, Parameter, Settings, Step};

use crate::fused::cross_entropy;
use crate::model::Decoder;

pub(crate) struct CandleLearner {
    weights: VarMap,
    named: Vec<(String, Var)>,
    decoder: Decoder,
    optimizer: AdamW,
    clip_norm: f64,
}

impl Learner for CandleLearner {
    fn new(settings: &Settings, initial: &[Parameter]) -> Result<Self, Failure> {
        Self::build(settings, initial).map_err(Failure::run)
    }

    fn train(&mut self, batch: &Batch, learning_rate: f64) -> Result<Step, Failure> {
        self.step(batch, learning_rate).map_err(Failure::run)
    }

    fn train_watched(
        &mut self,
        batch: &Batch,
        learning_rate: f64,
        weight: &str,
    ) -> Result<(Step, Observation), Failure> {
        self.watched(batch, learning_rate, weight).map_err(Failure::run)
    }

    fn loss(&self, batch: &Batch) -> Result<f64, Failure> {
        let loss = || -> candle_core::Result<f32> {
            let logits = self.decoder.forward(&batch.inputs, batch.sequences)?;
            cross_entropy(&logits, &batch.targets)?.to_scalar()
        };
        loss().map(f64::from).map_err(Failure::run)
    }

    fn logits(&self, bytes: &[u8]) -> Result<Vec<f32>, Failure> {
        let inputs: Vec<_> = bytes.iter().map(|&byte| u32::from(byte)).collect();
        let last = || self.decoder.forward(&inputs, 1)?.get(inputs.len() - 1)?.to_vec1();
        last().map_err(Failure::run)
    }

    fn state_bytes(&self) -> usize {
        self.named.iter().map(|(_, var)| 2 * 4 * var.elem_count()).sum()
    }

    fn save(&self, folder: &Path) -> Result<(), Failure> {
        self.weights.save(folder.join("model.safetensors")).map_err(Failure::run)
    }

    fn load(&mut self, folder: &Path) -> Result<(), Failure> {
        self.weights.load(folder.join("model.safetensors")).map_err(Failure::input)
    }
}

impl CandleLearner {
    fn build(settings: &Settings, initial: &[Parameter]) -> candle_core::Result<Self> {
        let device = Device::Cpu;
        let weights = VarMap::new();
        let mut named = Vec::new();
        if let Ok(mut data) = weights.data().lock() {
            for Parameter { name, shape, values } in initial {
                let var = Var::from_slice(values, shape.as_slice(), &device)?;
                data.insert(name.clone(), var.clone());
                named.push((name.clone(), var));
            }
        }
        let decoder = Decoder::new(settings.sizes(), &weights)?;
        let params = ParamsAdamW {
            lr: settings.lr,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: settings.weight_decay,
        };
        let optimizer = AdamW::new(named.iter().map(|(_, var)| var.clone()).collect(), params)?;
        Ok(Self { weights, named, decoder, optimizer, clip_norm: settings.clip_norm })
    }

    fn step(&mut self, batch: &Batch, learning_rate: f64) -> candle_core::Result<Step> {
        let logits = self.decoder.forward(&batch.inputs, batch.sequences)?;
        let loss = cross_entropy(&logits, &batch.targets)?;
        let mut gradients = loss.backward()?;
        let begun = Instant::now();
        let gradient_norm = self.clip(&mut gradients)?;
        self.optimizer.set_learning_rate(learning_rate);
        self.optimizer.step(&gradients)?;
        Ok(Step { loss: loss.to_scalar::<f32>()?.into(), gradient_norm, optimizer_time: begun.elapsed() })
    }

    fn watched(
        &mut self,
        batch: &Batch,
        learning_rate: f64,
        weight: &str,
    ) -> candle_core::Result<(Step, Observation)> {
        let Some((_, var)) = self.named.iter().find(|(name, _)| name == weight) else {
            candle_core::bail!("there is no weight named {weight}")
        };
        let var = var.clone();
        let before = var.as_tensor().copy()?;
        let step = self.step(batch, learning_rate)?;
        let (rows, columns) = var.dims2()?;
        let flat = |x: &Tensor| x.flatten_all()?.to_vec1::<f32>();
        let update = flat(&(before - var.as_tensor())?)?;
        Ok((step, Observation { rows, columns, gradient: update.clone(), momentum: update.clone(), update }))
    }

    fn clip(&self, gradients: &mut GradStore) -> candle_core::Result<f64> {
        let mut square = 0.0;
        for (_, var) in &self.named {
            if let Some(gradient) = gradients.get(var) {
                square += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
            }
        }
        let norm = square.sqrt();
        if norm > self.clip_norm {
            for (_, var) in &self.named {
                if let Some(gradient) = gradients.remove(var) {
                    gradients.insert(var, (gradient * (self.clip_norm / norm))?);
                }
            }
        }
        Ok(norm)
    }
}
