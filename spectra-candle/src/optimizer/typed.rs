//! The core optimizer in one arithmetic type, on candle's variables.

use crate::backend::{CandleBackend, CandleElement};
use candle_core::{Device, Var, backprop::GradStore};
use spectra_core::backend::{Error, ErrorKind, Result};
use spectra_core::optimizer::plan::{Plan, Rule};
use spectra_core::optimizer::{Config, Optimizer};

/// The core optimizer with arithmetic in `E`.
#[derive(Debug)]
pub(super) struct Typed<E: CandleElement>(pub(super) Optimizer<CandleBackend<E>>);

impl<E: CandleElement> Typed<E> {
    pub(super) fn new(device: &Device, config: Config, plan: &Plan) -> Result<Self> {
        Optimizer::new(CandleBackend::new(device), config, plan.parameters()).map(Self)
    }

    /// One step of `vars` in the order of `plan`. Returns the indices of those without a gradient.
    pub(super) fn step(
        &mut self,
        plan: &Plan,
        vars: &[(String, Var)],
        grads: &GradStore,
    ) -> Result<Vec<usize>> {
        let Self(core) = self;
        let backend = core.backend().clone();
        let (mut gradients, mut missing) = (Vec::new(), Vec::new());
        for (index, (entry, (name, var))) in plan.entries().iter().zip(vars).enumerate() {
            if entry.rule() == Rule::Frozen {
                continue;
            }
            let Some(gradient) = grads.get(var) else {
                missing.push(index);
                continue;
            };
            if gradient.dims() != var.dims() {
                let source = format!("gradient of shape {:?} for {:?}", gradient.dims(), var.dims());
                return Err(Error::device("step", source).for_parameter(name));
            }
            let gradient = backend.matrix(gradient, entry.view()).map_err(|e| e.for_parameter(name))?;
            gradients.push((index, gradient));
        }
        let prepared = core.prepare(gradients.iter().map(|(index, gradient)| (*index, gradient)))?;
        for (index, gradient) in &gradients {
            let (Some(entry), Some((name, var))) = (plan.entries().get(*index), vars.get(*index)) else {
                continue;
            };
            let mut weights = backend.variable(var, entry.view()).map_err(|e| e.for_parameter(name))?;
            core.update(*index, &mut weights, gradient, &prepared)?;
            backend.write_back(&weights, var).map_err(|e| e.for_parameter(name))?;
        }
        core.finish(prepared);
        Ok(missing)
    }
}

/// The error of a name that no parameter has.
pub(super) fn unknown(operation: &'static str, name: &str) -> Error {
    Error::new(operation, ErrorKind::Name { name: name.into(), reason: "is not a parameter" })
}
