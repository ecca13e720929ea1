//! The gradients of a step as the core's policy looks at them, before anything changes.

use super::assigned::Assigned;
use super::blocks::{Whole, rank};
use super::shared::{Arithmetic, Shared};
use crate::{BurnBackend, BurnMatrix, BurnScalar};
use burn::tensor::{Device, Tensor};
use spectra_core::backend::{Matrix, Result};
use spectra_core::linalg::Workspace;
use spectra_core::optimizer::Config as Settings;
use spectra_core::optimizer::plan::Block;
use spectra_core::optimizer::policy::{self, Given, GradientList, Gradients, Measured};

/// A gradient: one matrix, or its blocks where the pre-clip looks at each.
pub(super) struct Seen<'a, E> {
    /// The place of its parameter in the plan, if there is one.
    pub(super) place: usize,
    name: Option<&'a str>,
    assigned: &'a Assigned,
    blocks: &'a [Block],
    backend: BurnBackend<E>,
    whole: BurnMatrix<E>,
    parts: Vec<BurnMatrix<E>>,
    /// The number of its first matrix.
    first: usize,
}

impl<'a, E: Arithmetic> Seen<'a, E> {
    /// This gradient of a parameter with these blocks, after the matrices of `others`.
    pub(super) fn new(
        (place, name): (usize, Option<&'a str>),
        (assigned, blocks): (&'a Assigned, &'a [Block]),
        (backend, whole): (&BurnBackend<E>, BurnMatrix<E>),
        settings: &Settings,
        others: &[Self],
    ) -> Result<Self> {
        let is_cut = settings.pre_clip.is_some_and(|clip| clip.concerns(assigned.kind()));
        let parts = if is_cut && !blocks.is_empty() {
            let whole = Whole::new(whole.clone(), blocks);
            blocks.iter().map(|block| whole.cut(backend, block)).collect::<Result<_>>()?
        } else {
            Vec::new()
        };
        let first = others.last().map_or(0, |last| last.first + last.parts.len().max(1));
        let backend = backend.clone();
        Ok(Self { place, name, assigned, blocks, backend, whole, parts, first })
    }

    fn given(&self) -> impl Iterator<Item = Given<'_, BurnBackend<E>>> + Clone {
        let matrices = if self.parts.is_empty() { std::slice::from_ref(&self.whole) } else { &self.parts };
        matrices.iter().enumerate().map(|(at, gradient)| {
            let (rows, cols) = gradient.shape();
            let is_whole = self.parts.is_empty();
            let rank = if is_whole { rank(self.blocks, (rows, cols)) } else { rows.min(cols) };
            let (index, name, rule) = (self.first + at, self.name, self.assigned.kind());
            Given { index, name, rule, update: self.assigned.rule::<E>(), rank, gradient }
        })
    }

    /// The gradient, with what takes the place of its matrices; `None` if nothing does.
    fn with(&self, replaced: &mut Vec<(usize, BurnMatrix<E>)>) -> Option<Tensor<2>> {
        let mut take = |at: usize| {
            let index = self.first + at;
            let at = replaced.iter().position(|(number, _)| *number == index)?;
            Some(replaced.swap_remove(at).1)
        };
        if self.parts.is_empty() {
            return take(0).map(BurnMatrix::into_tensor);
        }
        // All or none.
        let parts: Vec<_> = (0..self.parts.len()).filter_map(take).collect();
        if parts.is_empty() {
            return None;
        }
        let whole = Whole::new(self.whole.clone(), self.blocks);
        let whole =
            self.blocks.iter().zip(parts).fold(whole, |whole, (block, part)| whole.paste(part, block));
        Some(whole.into_tensor())
    }
}

/// What the policy found out, and what takes the place of gradients, by the places of their parameters.
pub(super) struct Checked {
    pub(super) measured: Measured<BurnScalar>,
    pub(super) replaced: Vec<(usize, Tensor<2>)>,
}

/// [`policy::prepare`] of the gradients of both arithmetic types; `measure`: also the norm.
pub(super) fn check(
    shared: &Shared,
    (settings, pre_clip_factor, measure): (&Settings, f64, bool),
    (single, double): (&[Seen<'_, f32>], &[Seen<'_, f64>]),
) -> Result<Checked> {
    let (mut singles, mut doubles) = (workspaces(shared, single), workspaces(shared, double));
    let outcome = (|| {
        let (mut one, mut two) = (lists(single, &mut singles), lists(double, &mut doubles));
        let mut all: Vec<&mut dyn GradientList<BurnScalar>> = Vec::new();
        all.extend(one.iter_mut().map(|list| list as &mut dyn GradientList<BurnScalar>));
        all.extend(two.iter_mut().map(|list| list as &mut dyn GradientList<BurnScalar>));
        // Its constants are host numbers whatever the device.
        let constants = BurnBackend::<f32>::new(&Device::flex());
        let measured = policy::prepare(settings, pre_clip_factor, measure, &constants, &mut all)?;
        drop(all);
        let mut replaced = in_place(single, one.into_iter().flat_map(|list| list.replaced).collect());
        replaced.extend(in_place(double, two.into_iter().flat_map(|list| list.replaced).collect()));
        Ok(Checked { measured, replaced })
    })();
    singles.into_iter().for_each(|workspace| shared.give(workspace));
    doubles.into_iter().for_each(|workspace| shared.give(workspace));
    outcome
}

/// Temporaries on each device.
fn workspaces<E: Arithmetic>(shared: &Shared, seen: &[Seen<'_, E>]) -> Vec<Workspace<BurnBackend<E>>> {
    let mut workspaces: Vec<Workspace<BurnBackend<E>>> = Vec::new();
    for Seen { backend, .. } in seen {
        if !workspaces.iter().any(|workspace| workspace.backend().device() == backend.device()) {
            workspaces.push(shared.take(backend));
        }
    }
    workspaces
}

/// A list for each device.
fn lists<'s, E: Arithmetic>(
    seen: &'s [Seen<'_, E>],
    workspaces: &'s mut [Workspace<BurnBackend<E>>],
) -> Vec<Gradients<'s, BurnBackend<E>, impl Iterator<Item = Given<'s, BurnBackend<E>>> + Clone + 's>> {
    let list = |workspace: &'s mut Workspace<BurnBackend<E>>| {
        let device = workspace.backend().device().clone();
        let given = seen.iter().filter(move |one| *one.backend.device() == device).flat_map(Seen::given);
        Gradients { given, replaced: Vec::new(), workspace }
    };
    workspaces.iter_mut().map(list).collect()
}

/// What takes the place of gradients, by the places of their parameters.
fn in_place<E: Arithmetic>(
    seen: &[Seen<'_, E>],
    mut replaced: Vec<(usize, BurnMatrix<E>)>,
) -> Vec<(usize, Tensor<2>)> {
    seen.iter().filter_map(|one| Some((one.place, one.with(&mut replaced)?))).collect()
}
