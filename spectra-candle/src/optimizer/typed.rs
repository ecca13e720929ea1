//! The core optimizer in one arithmetic type, on candle's variables.

use crate::backend::{CandleBackend, CandleElement, CandleMatrix, address};
use candle_core::{Device, Var, backprop::GradStore};
use spectra_core::backend::{Error, ErrorKind, Result};
use spectra_core::optimizer::plan::{Plan, Rule};
use spectra_core::optimizer::{Config, Optimizer};
use std::collections::HashSet;

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
        let (gradients, missing) = gradients(&backend, plan, vars, grads)?;
        let present = || gradients.iter().enumerate().filter_map(|(i, g)| Some((i, g.as_ref()?)));
        let prepared = core.prepare(present())?;

        // Those whose own memory the core can change, small ones side by side; the others have a copy, one at a time.
        let mut in_place = Vec::with_capacity(vars.len());
        for (i, (entry, (name, var))) in plan.entries().iter().zip(vars).enumerate() {
            let gradient =
                gradients.get(i).and_then(Option::as_ref).filter(|_| backend.changes_in_place(var));
            let pair = gradient.map(|gradient| Ok((backend.variable(var, entry.view())?, gradient)));
            in_place.push(pair.transpose().map_err(|e: Error| e.for_parameter(name))?);
        }
        core.par_update(&mut in_place, |pair| pair.as_mut().map(|(x, g)| (x, *g)), &prepared)?;
        for (index, gradient) in present() {
            let (Some(None), Some(entry), Some((name, var))) =
                (in_place.get(index), plan.entries().get(index), vars.get(index))
            else {
                continue;
            };
            let mut weights = backend.variable(var, entry.view()).map_err(|e| e.for_parameter(name))?;
            core.update(index, &mut weights, gradient, &prepared)?;
            backend.write_back(&weights, var).map_err(|e| e.for_parameter(name))?;
        }
        core.finish(prepared);
        Ok(missing)
    }
}

/// The gradient of each variable that has one and is not frozen, as a matrix, and the indices of those without.
fn gradients<E: CandleElement>(
    backend: &CandleBackend<E>,
    plan: &Plan,
    vars: &[(String, Var)],
    grads: &GradStore,
) -> Result<(Vec<Option<CandleMatrix<E>>>, Vec<usize>)> {
    let memory: HashSet<_> = vars.iter().map(|(_, var)| address(var)).collect();
    let (mut gradients, mut missing) = (Vec::with_capacity(vars.len()), Vec::new());
    for (index, (entry, (name, var))) in plan.entries().iter().zip(vars).enumerate() {
        if entry.rule() == Rule::Frozen {
            gradients.push(None);
            continue;
        }
        let Some(gradient) = grads.get(var) else {
            missing.push(index);
            gradients.push(None);
            continue;
        };
        if gradient.dims() != var.dims() {
            let source = format!("gradient of shape {:?} for {:?}", gradient.dims(), var.dims());
            return Err(Error::device("step", source).for_parameter(name));
        }
        // A gradient in the memory of a variable would change when that is updated.
        let gradient = if memory.contains(&address(gradient)) {
            let copy = gradient.force_contiguous().map_err(|e| Error::device("step", e))?;
            backend.matrix(&copy, entry.view())
        } else {
            backend.matrix(gradient, entry.view())
        };
        gradients.push(Some(gradient.map_err(|e| e.for_parameter(name))?));
    }
    Ok((gradients, missing))
}

/// The error of a name that no parameter has.
pub(super) fn unknown(operation: &'static str, name: &str) -> Error {
    Error::new(operation, ErrorKind::Name { name: name.into(), reason: "is not a parameter" })
}
