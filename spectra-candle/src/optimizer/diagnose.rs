//! What ails a run, in candle's tensors.

use super::typed::{Gradients, Typed, unknown};
use super::{Engine, Optimizer, with_core};
use crate::backend::CandleElement;
use candle_core::{Var, backprop::GradStore};
use spectra_core::backend::{Error, Result};
use spectra_core::optimizer::diagnosis::Diagnoses;
use spectra_core::optimizer::plan::Plan;

impl Optimizer {
    /// What ails the model, block by block, and what to do about it: rule and reason, update over weights, dead entries, stagnation in 16 bits, gradients that are
    /// missing, zero or not finite, stale subspaces, wrong rules. It prints as a table within 80 columns; docs/troubleshooting.md goes from symptoms to findings.
    ///
    /// A dry run of a step by these gradients: neither a variable nor the state changes, and the run has the same bits. It reads everything to the
    /// host.
    ///
    /// ```
    /// # use candle_core::{DType, Device, Var};
    /// use spectra_candle::diagnosis::FindingKind;
    /// use spectra_candle::plan::Plan;
    /// use spectra_candle::{Config, Optimizer};
    ///
    /// let (used, unused) = (Var::ones((4, 3), DType::F32, &Device::Cpu)?, Var::ones((4, 3), DType::F32, &Device::Cpu)?);
    /// let vars = [("up.weight".to_owned(), used.clone()), ("down.weight".to_owned(), unused)];
    /// let mut optimizer = Optimizer::from_named_vars(vars, Config::preset("spectra")?, &Plan::builder())?;
    /// let seen = optimizer.diagnose(&used.sqr()?.sum_all()?.backward()?)?;
    /// println!("{seen}");
    /// let down = seen.block("down.weight").unwrap();
    /// assert_eq!(down.findings[0].kind, FindingKind::MissingGradient);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A gradient of another shape or type, or too large for its rule; a learning rate that is none; an earlier step that failed half-way; those of the device.
    pub fn diagnose(&mut self, grads: &GradStore) -> Result<Diagnoses> {
        if let Some(lr) = self.refused_lr {
            with_core!(&mut self.engine, core => core.set_learning_rate(lr))?;
        }
        let Self { engine, plan, vars, .. } = self;
        match engine {
            Engine::F32(engine) => engine.diagnose(plan, vars, grads),
            Engine::F64(engine) => engine.diagnose(plan, vars, grads),
        }
    }
}

impl<E: CandleElement> Typed<E> {
    fn diagnose(&mut self, plan: &Plan, vars: &[(String, Var)], grads: &GradStore) -> Result<Diagnoses> {
        let Self(core) = self;
        let backend = core.backend().clone();
        let Gradients { matrices, .. } = Gradients::new(&backend, plan, vars, grads)?;
        let mut weights = Vec::with_capacity(matrices.len());
        for (at, _, block) in plan.blocks() {
            let Some((name, var)) = vars.get(at) else { return Err(unknown("diagnose", block.name())) };
            let named = |error: Error| error.for_parameter(name);
            let whole = var.contiguous().map_err(|e| named(Error::device("diagnose", e)))?;
            weights.push(backend.block(&whole, block).map_err(named)?);
        }
        let weights: Vec<_> = weights.iter().enumerate().collect();
        let present = matrices.iter().enumerate().filter_map(|(i, g)| Some((i, g.as_ref()?)));
        core.diagnose(plan, present, &weights)
    }
}
