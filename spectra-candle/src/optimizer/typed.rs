//! The core optimizer in one arithmetic type, on candle's variables.

use crate::backend::{CandleBackend, CandleElement, CandleMatrix, address};
use candle_core::{Device, Tensor, Var, backprop::GradStore};
use spectra_core::backend::{Error, ErrorKind, Result};
use spectra_core::optimizer::plan::{Block, Plan, Rule};
use spectra_core::optimizer::{Config, Optimizer};
use spectra_core::rules::{Rules, UpdateRule};
use std::collections::HashSet;

/// The core optimizer with arithmetic in `E`.
#[derive(Debug)]
pub(super) struct Typed<E: CandleElement>(pub(super) Optimizer<CandleBackend<E>>);

impl<E: CandleElement> Typed<E> {
    pub(super) fn new(
        device: &Device,
        config: Config,
        plan: &Plan,
        rules: Rules<CandleBackend<E>>,
    ) -> Result<Self> {
        Optimizer::with_rules(CandleBackend::new(device), config, plan.parameters(), rules).map(Self)
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
        let mut in_place = Vec::with_capacity(matrices.len());
        for ((at, _, block), gradient) in plan.blocks().zip(&matrices) {
            let Some((name, var)) = vars.get(at) else { continue };
            let in_memory = |_: &_| backend.changes_in_place(var) && block.is_contiguous();
            let pair = gradient.as_ref().filter(in_memory);
            let pair = pair.map(|gradient| Ok((backend.variable_block(var, block)?, gradient)));
            in_place.push(pair.transpose().map_err(|e: Error| e.for_parameter(name))?);
        }
        core.par_update(&mut in_place, |pair| pair.as_mut().map(|(x, g)| (x, *g)), &prepared)?;
        let mut overflowed: Vec<&str> = Vec::new();
        for (index, (at, entry, block)) in plan.blocks().enumerate() {
            let (Some(None), Some(Some(gradient)), Some((name, var))) =
                (in_place.get(index), matrices.get(index), vars.get(at))
            else {
                continue;
            };
            let named = |error: Error| error.for_parameter(name);
            let alone = block.stored() == entry.view() && !block.place().transposed;
            let mut weights = if alone {
                backend.variable(var, entry.view()).map_err(named)?
            } else {
                backend.variable_block(var, block).map_err(named)?
            };
            core.update(index, &mut weights, gradient, &prepared)?;
            if backend.overflows(&weights, var).map_err(named)? {
                overflowed.push(name);
            }
            if alone {
                backend.write_back(&weights, var).map_err(named)?;
            } else {
                backend.write_block_back(&weights, var, block).map_err(named)?;
            }
        }
        core.finish(prepared);
        for (pair, (at, ..)) in in_place.iter().zip(plan.blocks()) {
            if let (Some((weights, _)), Some((name, _))) = (pair, vars.get(at))
                && weights.has_overflowed()
            {
                overflowed.push(name);
            }
        }
        overflowed.dedup();
        if overflowed.is_empty() {
            return Ok(missing);
        }
        let what = "variable, whose type a finite update has no room in,";
        Err(Error::new("step", ErrorKind::NonFinite { what }).for_parameter(&overflowed.join(", ")))
    }
}

/// The gradients of a step.
pub(super) struct Gradients<E> {
    /// Of each block whose variable has one and is not frozen.
    pub(super) matrices: Vec<Option<CandleMatrix<E>>>,
    /// The indices of those without.
    pub(super) missing: Vec<usize>,
}

impl<E: CandleElement> Gradients<E> {
    pub(super) fn new(
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
            for block in entry.blocks() {
                let matrix = gradient.map(|gradient| matrix(backend, gradient, (block, var), &memory));
                matrices.push(matrix.transpose().map_err(|e| e.for_parameter(name))?);
            }
        }
        Ok(Self { matrices, missing })
    }
}

/// A gradient as a matrix; a copy if it lies in the `memory` of the variables: it would change when that one is updated.
fn matrix<E: CandleElement>(
    backend: &CandleBackend<E>,
    gradient: &Tensor,
    (block, var): (&Block, &Var),
    memory: &HashSet<usize>,
) -> Result<CandleMatrix<E>> {
    if gradient.dims() != var.dims() {
        let source = format!("gradient of shape {:?} for {:?}", gradient.dims(), var.dims());
        return Err(Error::device("step", source));
    }
    if memory.contains(&address(gradient)) {
        let copy = gradient.force_contiguous().map_err(|e| Error::device("step", e))?;
        return backend.block(&copy, block);
    }
    if block.stored().0 * block.stored().1 == gradient.elem_count() && !block.place().transposed {
        return backend.matrix(gradient, block.shape());
    }
    let gradient = gradient.contiguous().map_err(|e| Error::device("step", e))?;
    backend.block(&gradient, block)
}

/// The error of a name that no parameter has.
pub(super) fn unknown(operation: &'static str, name: &str) -> Error {
    Error::new(operation, ErrorKind::Name { name: name.into(), reason: "is not a parameter" })
}

/// Rules of one's own that a plan's [groups](spectra_core::optimizer::plan::Group::named) name, in both arithmetic types: the
/// variables decide which is used.
#[derive(Debug, Default)]
pub struct OwnRules {
    pub(super) single: Rules<CandleBackend<f32>>,
    pub(super) double: Rules<CandleBackend<f64>>,
}

impl OwnRules {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// These and one more.
    #[must_use]
    pub fn with<R>(self, name: &str, rule: R) -> Self
    where
        R: UpdateRule<CandleBackend<f32>> + UpdateRule<CandleBackend<f64>> + Clone + 'static,
    {
        Self { single: self.single.with(name, rule.clone()), double: self.double.with(name, rule) }
    }
}
