//! The trait of candle's optimizers.

use super::variables::Variables;
use super::{Optimizer, with_core};
use candle_core::{Error, Result, Var, backprop::GradStore};
use spectra_core::optimizer::Config;
use spectra_core::optimizer::plan::Plan;

impl candle_nn::Optimizer for Optimizer {
    type Config = Config;

    /// Variables without names are called `var.0`, `var.1`, ... in this order, and get their rules by shape
    /// alone: an embedding or a head is a matrix like any other here. Their state cannot be saved, since
    /// the order of `VarMap::all_vars` changes from process to process. Prefer [`from_varmap`](Optimizer::from_varmap).
    fn new(vars: Vec<Var>, config: Config) -> Result<Self> {
        let optimizer = Self::from_named_vars(Variables::unnamed(vars), config, &Plan::builder());
        optimizer.map(|optimizer| Self { named: false, ..optimizer }).map_err(Error::wrap)
    }

    fn step(&mut self, grads: &GradStore) -> Result<()> {
        self.try_step(grads).map(|_| ()).map_err(Error::wrap)
    }

    fn learning_rate(&self) -> f64 {
        self.refused_lr.unwrap_or_else(|| with_core!(&self.engine, core => core.learning_rate()))
    }

    /// Sets the learning rate of the hidden matrices, and that of everything else in proportion. One outside its domain
    /// ([`Rates::lr`](spectra_core::optimizer::Rates::lr)) is refused by the next step.
    fn set_learning_rate(&mut self, lr: f64) {
        let set = with_core!(&mut self.engine, core => core.set_learning_rate(lr));
        self.refused_lr = set.is_err().then_some(lr);
    }
}
