//! The decoder with its weights and gradients at hand.

use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use candle_nn::VarMap;
use candle_nn::ops::log_softmax;
use faer::Mat;
use spectra_decoder::{Decoder, cross_entropy};
use spectra_examples::model::initial_parameters;
use spectra_examples::{Batch, Failure, Settings};

use crate::instruments::matrix;

/// Tensors by name, as a file holds them.
pub(super) type Tensors = HashMap<String, Tensor>;

pub(super) struct Model {
    named: Vec<(String, Var)>,
    decoder: Decoder,
}

impl Model {
    /// With its initial weights.
    pub(super) fn new(settings: &Settings) -> Result<Self, Failure> {
        let build = || -> candle_core::Result<Self> {
            let parameters = initial_parameters(&settings.sizes(), settings.seed);
            let named = parameters
                .into_iter()
                .map(|p| Ok((p.name, Var::from_slice(&p.values, p.shape.as_slice(), &Device::Cpu)?)))
                .collect::<candle_core::Result<Vec<_>>>()?;
            let weights = VarMap::new();
            match weights.data().lock() {
                Ok(mut map) => map.extend(named.iter().cloned()),
                Err(_) => candle_core::bail!("a thread panicked while it held the weights"),
            }
            Ok(Self { decoder: Decoder::new(settings.sizes(), &weights)?, named })
        };
        build().map_err(Failure::run)
    }

    /// By name, in the order of the model.
    pub(super) fn variables(&self) -> &[(String, Var)] {
        &self.named
    }

    /// The weights as they are.
    pub(super) fn tensors(&self) -> Result<Tensors, Failure> {
        let copy = |(name, var): &(String, Var)| Ok((name.clone(), var.as_tensor().copy()?));
        self.named.iter().map(copy).collect::<candle_core::Result<_>>().map_err(Failure::run)
    }

    /// Takes these weights.
    pub(super) fn set(&self, tensors: &Tensors) -> Result<(), Failure> {
        for (name, var) in &self.named {
            let saved =
                tensors.get(name).ok_or_else(|| Failure::run(format!("a checkpoint has no {name}")))?;
            var.set(saved).map_err(Failure::run)?;
        }
        Ok(())
    }

    /// Of the mean loss over a batch; no step.
    pub(super) fn gradients(&self, batch: &Batch) -> Result<GradStore, Failure> {
        let backward = || {
            cross_entropy(&self.decoder.forward(&batch.inputs, batch.sequences)?, &batch.targets)?.backward()
        };
        backward().map_err(Failure::run)
    }

    /// Of `mean_j weight(t_j) l_j` with the loss of each target `t_j`.
    pub(super) fn weighted_gradients(
        &self,
        batch: &Batch,
        weight: &[f32; 256],
    ) -> Result<GradStore, Failure> {
        let backward = || {
            let logits = self.decoder.forward(&batch.inputs, batch.sequences)?;
            let rows = batch.targets.len();
            let targets = Tensor::from_slice(&batch.targets, (rows, 1), logits.device())?;
            let weights: Vec<_> = batch.targets.iter().map(|&target| weight[target as usize]).collect();
            let weights = Tensor::from_vec(weights, (rows, 1), logits.device())?;
            let losses = log_softmax(&logits, 1)?.gather(&targets, 1)?.neg()?;
            (losses * weights)?.mean_all()?.backward()
        };
        backward().map_err(Failure::run)
    }

    /// The gradients of these matrices.
    pub(super) fn of(&self, gradients: &GradStore, names: &[String]) -> Result<Vec<Mat<f64>>, Failure> {
        let one = |name: &String| {
            let var = self.named.iter().find(|(known, _)| known == name).map(|(_, var)| var);
            let gradient = var.and_then(|var| gradients.get(var));
            to_matrix(gradient.ok_or_else(|| Failure::run(format!("{name} has no gradient")))?)
        };
        names.iter().map(one).collect()
    }

    /// The mean over batches of the gradients of these matrices.
    pub(super) fn mean_gradients(
        &self,
        batches: impl Iterator<Item = Batch>,
        names: &[String],
    ) -> Result<Vec<Mat<f64>>, Failure> {
        let (mut sums, mut count): (Vec<Mat<f64>>, f64) = (Vec::new(), 0.0);
        for batch in batches {
            let new = self.of(&self.gradients(&batch)?, names)?;
            match sums.is_empty() {
                true => sums = new,
                false => sums.iter_mut().zip(&new).for_each(|(sum, new)| *sum += new),
            }
            count += 1.0;
        }
        sums.iter_mut().for_each(|sum| *sum *= faer::Scale(1.0 / count));
        Ok(sums)
    }
}

/// A two-dimensional tensor in f64.
pub(super) fn to_matrix(tensor: &Tensor) -> Result<Mat<f64>, Failure> {
    let (rows, cols) = tensor.dims2().map_err(Failure::run)?;
    let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).map_err(Failure::run)?;
    matrix(rows, cols, &values)
}
