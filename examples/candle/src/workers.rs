//! The optimizer of the program: of one process, or of several ranks that train one model.

use candle_core::backprop::GradStore;
use candle_core::{Error, Result, Tensor, Var};
use candle_nn::Optimizer as _;
use spectra_candle::{DistributedOptimizer, Optimizer};
use spectra_core::distributed::{Communicator, Transport};
use std::collections::HashMap;

/// What the program asks of it. All ranks ask the same in the same order.
pub(crate) trait Trainer {
    /// One step by the mean of the ranks' gradients; its norm before the clips.
    fn step(&mut self, weights: &[(String, Var)], gradients: &GradStore, learning_rate: f64) -> Result<f64>;

    /// What the ranks' gradients of a weight came to in the last step, row by row; `gradients` are this rank's.
    fn gradient(&mut self, weight: &(String, Var), gradients: &GradStore) -> Result<Option<Vec<f32>>>;

    /// A buffer of a weight's state, row by row.
    fn buffer(&mut self, weight: &str, buffer: &str) -> Result<Option<Vec<f32>>>;

    fn set_clip_factors(&mut self, clip: f64, pre_clip: f64) -> spectra_candle::Result<()>;
    fn state_bytes(&self) -> usize;

    /// The whole state, on the first rank.
    fn state_tensors(&mut self) -> spectra_candle::Result<Option<HashMap<String, Tensor>>>;
    fn load_state_tensors(&mut self, tensors: &HashMap<String, Tensor>) -> spectra_candle::Result<()>;
}

fn flat(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

impl Trainer for Optimizer {
    fn step(&mut self, weights: &[(String, Var)], gradients: &GradStore, learning_rate: f64) -> Result<f64> {
        let mut square = 0.0;
        for (_, var) in weights {
            if let Some(gradient) = gradients.get(var) {
                square += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
            }
        }
        self.set_learning_rate(learning_rate);
        // The optimizer would refuse such a gradient; the program ends the run by the norm.
        if square.is_finite() {
            candle_nn::Optimizer::step(self, gradients)?;
        }
        Ok(square.sqrt())
    }

    fn gradient(&mut self, (_, var): &(String, Var), gradients: &GradStore) -> Result<Option<Vec<f32>>> {
        gradients.get(var).map(flat).transpose()
    }

    fn buffer(&mut self, weight: &str, buffer: &str) -> Result<Option<Vec<f32>>> {
        self.state_tensor(weight, buffer).map_err(Error::wrap)?.as_ref().map(flat).transpose()
    }

    fn set_clip_factors(&mut self, clip: f64, pre_clip: f64) -> spectra_candle::Result<()> {
        self.set_clip_factor(clip)?;
        self.set_pre_clip_factor(pre_clip)
    }

    fn state_bytes(&self) -> usize {
        Optimizer::state_bytes(self)
    }

    fn state_tensors(&mut self) -> spectra_candle::Result<Option<HashMap<String, Tensor>>> {
        Optimizer::state_tensors(self).map(Some)
    }

    fn load_state_tensors(&mut self, tensors: &HashMap<String, Tensor>) -> spectra_candle::Result<()> {
        Optimizer::load_state_tensors(self, tensors).map(|_| ())
    }
}

impl<T: Transport> Trainer for DistributedOptimizer<Communicator<T>> {
    fn step(&mut self, _: &[(String, Var)], gradients: &GradStore, learning_rate: f64) -> Result<f64> {
        self.set_learning_rate(learning_rate);
        self.try_step(gradients).map_err(Error::wrap)?;
        self.core().gradient_norm().map_err(Error::wrap)
    }

    fn gradient(&mut self, (name, _): &(String, Var), _: &GradStore) -> Result<Option<Vec<f32>>> {
        let index = self.core().optimizer().parameters().position(|spec| *spec.name == **name);
        index.map_or(Ok(None), |index| self.core_mut().gradient(index)).map_err(Error::wrap)
    }

    fn buffer(&mut self, weight: &str, buffer: &str) -> Result<Option<Vec<f32>>> {
        self.state_tensor(weight, buffer).map_err(Error::wrap)?.as_ref().map(flat).transpose()
    }

    fn set_clip_factors(&mut self, clip: f64, pre_clip: f64) -> spectra_candle::Result<()> {
        self.core_mut().optimizer_mut().set_clip_factor(clip)?;
        self.core_mut().optimizer_mut().set_pre_clip_factor(pre_clip)
    }

    /// Of all ranks together.
    fn state_bytes(&self) -> usize {
        self.core().optimizer().state_bytes()
    }

    fn state_tensors(&mut self) -> spectra_candle::Result<Option<HashMap<String, Tensor>>> {
        DistributedOptimizer::state_tensors(self, 0)
    }

    fn load_state_tensors(&mut self, tensors: &HashMap<String, Tensor>) -> spectra_candle::Result<()> {
        DistributedOptimizer::load_state_tensors(self, tensors).map(|_| ())
    }
}
