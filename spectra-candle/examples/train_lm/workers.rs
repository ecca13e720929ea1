//! A step of several ranks.

use candle_core::backprop::GradStore;
use candle_core::{Error, Result, Tensor, Var};
use spectra_core::distributed::{Communicator, Transport};

/// The ranks that train one model, as a step of one of them sees them.
pub(crate) trait Workers {
    /// How many there are.
    fn size(&self) -> usize;

    /// Makes every gradient the mean of all ranks', in one call.
    fn mean(&mut self, weights: &[(String, Var)], gradients: &mut GradStore) -> Result<()>;
}

impl<T: Transport> Workers for Communicator<T> {
    fn size(&self) -> usize {
        Communicator::size(self)
    }

    fn mean(&mut self, weights: &[(String, Var)], gradients: &mut GradStore) -> Result<()> {
        let size = Communicator::size(self);
        if size == 1 {
            return Ok(());
        }
        let mut all = Vec::with_capacity(weights.len());
        for (name, var) in weights {
            let Some(gradient) = gradients.get(var) else { candle_core::bail!("{name} has no gradient") };
            all.push(gradient.flatten_all()?.to_vec1::<f32>()?);
        }
        let mut lists: Vec<_> = all.iter_mut().map(Vec::as_mut_slice).collect();
        self.sum(&mut lists, &mut []).map_err(Error::wrap)?;
        for ((_, var), mut sum) in weights.iter().zip(all) {
            sum.iter_mut().for_each(|x| *x /= size as f32);
            gradients.insert(var, Tensor::from_vec(sum, var.shape(), var.device())?);
        }
        Ok(())
    }
}
