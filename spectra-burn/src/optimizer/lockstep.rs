//! Matrices of one shape and rule that step as one on a device, which is asked once for all of them.
//!
//! Burn steps a module parameter by parameter and puts each in its place at once. A step of the whole module therefore goes over it twice: first those
//! that can [wait](Waiting) leave matrices and state here, are stepped in [stacks](Stacks), and are handed out when burn comes by again.

use super::blocks::Whole;
use super::one_step::OneStep;
use super::role::Target;
use super::shared::{Arithmetic, Shared};
use super::state::Buffers;
use crate::{BurnBackend, BurnMatrix, BurnScalar};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use spectra_core::backend::{Backend, Matrix, Result};
use spectra_core::optimizer::policy::{Stacked, StepOptions};
use spectra_core::rules::{StepRates, Weights};
use std::sync::Arc;

/// Those of a step of one arithmetic type.
#[derive(Debug)]
pub(super) struct Lockstep<E> {
    waiting: Vec<Waiting<E>>,
    done: Vec<Done<E>>,
}

impl<E> Default for Lockstep<E> {
    fn default() -> Self {
        Self { waiting: Vec::new(), done: Vec::new() }
    }
}

/// A parameter that waits for others.
#[derive(Debug)]
struct Waiting<E> {
    target: Arc<Target>,
    device: Device,
    /// That its blocks are put back into, if it has any.
    whole: Option<Whole>,
    /// Weights and gradient of its matrices.
    matrices: Vec<(BurnMatrix<E>, BurnMatrix<E>)>,
    buffers: Buffers<E>,
    options: StepOptions,
}

/// One that has been stepped.
#[derive(Debug)]
struct Done<E> {
    place: usize,
    weights: Tensor<2>,
    buffers: Buffers<E>,
}

/// What matrices of one stack have in common.
#[derive(PartialEq)]
struct Key {
    device: Device,
    /// The address of their rule.
    rule: *const (),
    weights: Weights,
    shape: (usize, usize),
    rates: StepRates,
}

impl<E: Arithmetic> OneStep<'_, E> {
    /// Whether all matrices of a parameter can wait.
    pub(super) fn can_wait(&self, target: &Target, buffers: &Buffers<E>) -> bool {
        let of = (self.assigned.rule::<E>(), self.assigned.weights(self.dtype));
        let mut matrices = target.shapes().into_iter().zip(&buffers.blocks);
        self.backend.stacking().is_some()
            && matrices.all(|(shape, block)| self.options.in_stack(block, of, shape).is_some())
    }

    /// Leaves a parameter's matrices and state to the others.
    pub(super) fn wait<const D: usize>(
        &self,
        target: &Arc<Target>,
        tensor: &Tensor<D>,
        (weights, gradient): (BurnMatrix<E>, BurnMatrix<E>),
        buffers: Buffers<E>,
    ) -> Result<()> {
        let (mut whole, mut matrices) = (None, Vec::new());
        if target.blocks.is_empty() {
            matrices.push((weights, gradient));
        } else {
            let (of, gradient) = (Whole::new(weights, &target.blocks), Whole::new(gradient, &target.blocks));
            for block in &target.blocks {
                matrices.push((of.cut(self.backend, block)?, gradient.cut(self.backend, block)?));
            }
            whole = Some(of);
        }
        let (target, device, options) = (target.clone(), self.backend.device().clone(), self.options);
        self.shared.with_outcome(|outcome| {
            // Burn comes by again for whatever has a gradient.
            outcome.again.register::<D>(target.id, tensor.clone());
            let waiting = Waiting { target, device, whole, matrices, buffers, options };
            E::lockstep(outcome).waiting.push(waiting);
        });
        Ok(())
    }
}

impl Shared {
    /// Steps all that wait in this thread's turn, and tells for which parameters burn has to come by again.
    pub(super) fn step_waiting(&self, scale: Option<&BurnScalar>) -> Result<Option<GradientsParams>> {
        self.step_type::<f32>(scale)?;
        self.step_type::<f64>(scale)?;
        let again = self.with_outcome(|outcome| std::mem::take(&mut outcome.again));
        Ok(again.filter(|again| !again.is_empty()))
    }

    fn step_type<E: Arithmetic>(&self, scale: Option<&BurnScalar>) -> Result<()> {
        let waiting = self.with_outcome(|outcome| std::mem::take(&mut E::lockstep(outcome).waiting));
        let mut waiting = waiting.unwrap_or_default();
        for (key, group) in groups(&mut waiting) {
            self.step_group(key, group, scale)?;
        }
        let done = waiting.into_iter().map(|Waiting { target, whole, matrices, buffers, .. }| {
            let mut parts = matrices.into_iter().map(|(weights, _)| weights);
            let weights = match whole {
                None => parts.next().map(BurnMatrix::into_tensor),
                Some(whole) => {
                    let pasted = parts.zip(&target.blocks);
                    Some(pasted.fold(whole, |whole, (part, block)| whole.paste(part, block)).into_tensor())
                }
            };
            weights.map(|weights| Done { place: target.place, weights, buffers })
        });
        let done = done.flatten().collect();
        self.with_outcome(|outcome| E::lockstep(outcome).done = done);
        Ok(())
    }

    fn step_group<E: Arithmetic>(
        &self,
        key: Key,
        group: Group<'_, E>,
        scale: Option<&BurnScalar>,
    ) -> Result<()> {
        let Group { target, blocks } = group;
        let Some(assigned) = &target.assigned else { return Ok(()) };
        let backend = BurnBackend::<E>::by_tensor_operations(&key.device);
        let mut stacks = self.take_stacks(&key.device);
        let outcome = self.with_workspace(&backend, |workspace| {
            stacks.step(blocks, (assigned.rule::<E>(), key.weights), scale, workspace)
        });
        self.give_stacks(key.device, stacks);
        outcome
    }

    /// Weights and state of a parameter that was stepped with others.
    pub(super) fn take_done<E: Arithmetic>(&self, place: usize) -> Option<(Tensor<2>, Buffers<E>)> {
        let taken = self.with_outcome(|outcome| {
            let done = &mut E::lockstep(outcome).done;
            let at = done.iter().position(|done| done.place == place)?;
            Some(done.swap_remove(at))
        });
        taken.flatten().map(|Done { weights, buffers, .. }| (weights, buffers))
    }
}

/// Matrices that step together, and a parameter that one of them is of.
struct Group<'a, E: Arithmetic> {
    target: &'a Target,
    blocks: Vec<Stacked<'a, BurnBackend<E>>>,
}

fn groups<E: Arithmetic>(waiting: &mut [Waiting<E>]) -> Vec<(Key, Group<'_, E>)> {
    let mut groups: Vec<(Key, Group<'_, E>)> = Vec::new();
    let mut index = 0;
    for Waiting { target, device, matrices, buffers, options, .. } in waiting {
        let target = &**target;
        let Some(assigned) = &target.assigned else { continue };
        let matrices = matrices.iter_mut().zip(&mut buffers.blocks).zip(target.names());
        for (((weights, gradient), block), name) in matrices {
            let key = Key {
                device: device.clone(),
                rule: assigned.rule_address(),
                weights: assigned.weights(target.dtype),
                shape: weights.shape(),
                rates: options.rates.at(block.steps, assigned.rule::<E>()),
            };
            let one = Stacked { index, name, weights, gradient, block, options: *options };
            index += 1;
            match groups.iter_mut().find(|(known, _)| *known == key) {
                Some((_, group)) => group.blocks.push(one),
                None => groups.push((key, Group { target, blocks: vec![one] })),
            }
        }
    }
    groups
}
