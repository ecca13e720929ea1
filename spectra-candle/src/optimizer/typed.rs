//! The core optimizer in one arithmetic type, on candle's variables.

use crate::backend::{CandleBackend, CandleElement, CandleMatrix, address};
use candle_core::{Device, Tensor, Var, backprop::GradStore};
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
        let Gradients { matrices, missing } = Gradients::new(&backend, plan, vars, grads)?;
        let present = || matrices.iter().enumerate().filter_map(|(i, g)| Some((i, g.as_ref()?)));
        let prepared = core.prepare(present())?;

        // Those whose own memory the core can change, small ones side by side; the others have a copy, one at a time.
        let mut in_place = Vec::with_capacity(vars.len());
        for (i, (entry, (name, var))) in plan.entries().iter().zip(vars).enumerate() {
            let gradient = matrices.get(i).and_then(Option::as_ref).filter(|_| backend.changes_in_place(var));
            let pair = gradient.map(|gradient| Ok((backend.variable(var, entry.view())?, gradient)));
            in_place.push(pair.transpose().map_err(|e: Error| e.for_parameter(name))?);
        }
        core.par_update(&mut in_place, |pair| pair.as_mut().map(|(x, g)| (x, *g)), &prepared)?;
        let mut overflowed: Vec<&str> = Vec::new();
        for (index, gradient) in present() {
            let (Some(None), Some(entry), Some((name, var))) =
                (in_place.get(index), plan.entries().get(index), vars.get(index))
            else {
                continue;
            };
            let mut weights = backend.variable(var, entry.view()).map_err(|e| e.for_parameter(name))?;
            core.update(index, &mut weights, gradient, &prepared)?;
            if backend.overflows(&weights, var).map_err(|e| e.for_parameter(name))? {
                overflowed.push(name);
            }
            backend.write_back(&weights, var).map_err(|e| e.for_parameter(name))?;
        }
        core.finish(prepared);
        for (pair, (name, _)) in in_place.iter().zip(vars) {
            if pair.as_ref().is_some_and(|(weights, _)| weights.has_overflowed()) {
                overflowed.push(name);
            }
        }
        if overflowed.is_empty() {
            return Ok(missing);
        }
        let what = "variable, whose type a finite update has no room in,";
        Err(Error::new("step", ErrorKind::NonFinite { what }).for_parameter(&overflowed.join(", ")))
    }
}

/// The gradients of a step.
struct Gradients<E> {
    /// Of each variable that has one and is not frozen.
    matrices: Vec<Option<CandleMatrix<E>>>,
    /// The indices of those without.
    missing: Vec<usize>,
}

impl<E: CandleElement> Gradients<E> {
    fn new(
        backend: &CandleBackend<E>,
        plan: &Plan,
        vars: &[(String, Var)],
        grads: &GradStore,
    ) -> Result<Self> {
        let memory: HashSet<_> = vars.iter().map(|(_, var)| address(var)).collect();
        let (mut matrices, mut missing) = (Vec::with_capacity(vars.len()), Vec::new());
        for (index, (entry, (name, var))) in plan.entries().iter().zip(vars).enumerate() {
            let gradient = grads.get(var).filter(|_| entry.rule() != Rule::Frozen);
            if gradient.is_none() && entry.rule() != Rule::Frozen {
                missing.push(index);
            }
            let matrix = gradient.map(|gradient| matrix(backend, gradient, (entry.view(), var), &memory));
            matrices.push(matrix.transpose().map_err(|e| e.for_parameter(name))?);
        }
        Ok(Self { matrices, missing })
    }
}

/// A gradient as a matrix; a copy if it lies in the `memory` of the variables: it would change when that one is updated.
fn matrix<E: CandleElement>(
    backend: &CandleBackend<E>,
    gradient: &Tensor,
    (view, var): ((usize, usize), &Var),
    memory: &HashSet<usize>,
) -> Result<CandleMatrix<E>> {
    if gradient.dims() != var.dims() {
        let source = format!("gradient of shape {:?} for {:?}", gradient.dims(), var.dims());
        return Err(Error::device("step", source));
    }
    if memory.contains(&address(gradient)) {
        let copy = gradient.force_contiguous().map_err(|e| Error::device("step", e))?;
        return backend.matrix(&copy, view);
    }
    backend.matrix(gradient, view)
}

/// The error of a name that no parameter has.
pub(super) fn unknown(operation: &'static str, name: &str) -> Error {
    Error::new(operation, ErrorKind::Name { name: name.into(), reason: "is not a parameter" })
}
