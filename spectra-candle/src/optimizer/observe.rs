//! What a step would do, in candle's tensors.

use super::typed::{Gradients, Typed, unknown};
use super::{Engine, Optimizer, explain_missing, with_core};
use crate::backend::CandleElement;
use candle_core::{Tensor, Var, backprop::GradStore};
use spectra_core::backend::{Error, Result};
use spectra_core::optimizer::Observation;
use spectra_core::optimizer::plan::Plan;

impl Optimizer {
    /// What a step by these gradients would make of the variables, or [blocks](spectra_core::optimizer::plan::Block) of some, with these names, without taking it:
    /// neither a variable nor the state nor a [report](Self::report) changes, and the run has the same bits whether it is observed or not. All
    /// gradients are given, as to a step, which clips by the norm over them; matrices are seen with output features as rows, in f32 or f64.
    ///
    /// ```
    /// # use candle_core::{DType, Device, Var};
    /// use candle_nn::Optimizer as _;
    /// use spectra_candle::plan::Plan;
    /// use spectra_candle::{Config, Optimizer};
    ///
    /// let w = Var::ones((4, 3), DType::F32, &Device::Cpu)?;
    /// let mut optimizer = Optimizer::from_named_vars([("w".to_owned(), w.clone())], Config::preset("muon")?, &Plan::builder())?;
    /// let gradients = w.sqr()?.sum_all()?.backward()?;
    /// let [seen] = &optimizer.observe(&gradients, &["w"])?[..] else { panic!() };
    /// // 5 % of the gradient 2 W.
    /// assert_eq!(seen.momentum().unwrap().to_vec2::<f32>()?[0], [0.1; 3]);
    /// optimizer.step(&gradients)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`try_step`](Self::try_step) before anything changes; a name that no parameter has, or that of one that is frozen or has no
    /// gradient.
    pub fn observe(&mut self, grads: &GradStore, names: &[&str]) -> Result<Vec<Observation<Tensor>>> {
        if let Some(lr) = self.refused_lr {
            with_core!(&mut self.engine, core => core.set_learning_rate(lr))?;
        }
        let Self { engine, plan, vars, .. } = self;
        let observed = match engine {
            Engine::F32(engine) => engine.observe(plan, vars, grads, names),
            Engine::F64(engine) => engine.observe(plan, vars, grads, names),
        };
        observed.map_err(explain_missing)
    }
}

impl<E: CandleElement> Typed<E> {
    fn observe(
        &mut self,
        plan: &Plan,
        vars: &[(String, Var)],
        grads: &GradStore,
        names: &[&str],
    ) -> Result<Vec<Observation<Tensor>>> {
        let Self(core) = self;
        let backend = core.backend().clone();
        let Gradients { matrices, .. } = Gradients::new(&backend, plan, vars, grads)?;
        let mut weights = Vec::with_capacity(names.len());
        for name in names {
            let mut blocks = plan.blocks().zip(core.parameters()).enumerate();
            let found = blocks.find(|(_, (_, spec))| *spec.name == **name);
            let Some((index, ((at, _, block), _))) = found else { return Err(unknown("observe", name)) };
            let Some((_, var)) = vars.get(at) else { return Err(unknown("observe", name)) };
            let named = |error: Error| error.for_parameter(name);
            let whole = var.contiguous().map_err(|e| named(Error::device("observe", e)))?;
            weights.push((index, backend.block(&whole, block).map_err(named)?));
        }
        let wanted: Vec<_> = weights.iter().map(|(index, matrix)| (*index, matrix)).collect();
        let present = matrices.iter().enumerate().filter_map(|(i, g)| Some((i, g.as_ref()?)));
        let observed = core.observe(present, &wanted)?;
        observed.into_iter().map(|seen| seen.try_map(|matrix| Ok(matrix.into_tensor()))).collect()
    }
}
