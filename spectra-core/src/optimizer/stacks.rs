//! Blocks of one shape that step as one, on stacks of matrices.

use super::BlockState;
use super::batch::Taken;
use super::policy::{StepOptions, scaled};
use super::step::Update;
use crate::backend::{Backend, Error, ErrorKind, Matrix, Result, Stacking};
use crate::linalg::Workspace;
use crate::rules::{Batching, StepRates, UpdateRule, Weights};
use crate::state::State;
use alloc::vec::Vec;

/// Entries of a stack: 128 MiB in `f32`, of which a step has several temporaries. Matrices of a quarter of that keep a device busy by
/// themselves, and a launch that is saved is nothing beside one of them.
const ENTRIES: usize = 1 << 25;

/// Workspaces that are kept, one for each count of parts.
const WORKSPACES: usize = 8;

/// What stacked steps keep: temporaries, and the stacks of the step before, whose places serve again.
#[derive(Debug)]
pub struct Stacks<B: Backend> {
    /// By count, the last used at the end.
    workspaces: Vec<(usize, Workspace<B>)>,
    groups: Vec<Group<B::Matrix>>,
}

impl<B: Backend> Default for Stacks<B> {
    fn default() -> Self {
        Self { workspaces: Vec::new(), groups: Vec::new() }
    }
}

/// The stacks of a group of blocks.
#[derive(Debug)]
struct Group<M> {
    /// The first block's index.
    first: usize,
    count: usize,
    /// In the order in which they are made.
    stacks: Vec<M>,
}

/// A block that steps with others of its shape, rule and [rates](StepOptions::in_stack).
#[derive(Debug)]
pub struct Stacked<'a, B: Backend> {
    /// Its number among the model's.
    pub index: usize,
    /// Its name, for errors.
    pub name: &'a str,
    /// Its weights.
    pub weights: &'a mut B::Matrix,
    /// Its gradient.
    pub gradient: &'a B::Matrix,
    /// Its state.
    pub block: &'a mut BlockState<B::Matrix>,
    /// How it is stepped.
    pub options: StepOptions,
}

impl StepOptions {
    /// At which rates a block may step in a stack, with all others of its shape, rule and storage at the same rates; `None`: alone, as the rule does
    /// not work on stacks, or makes a buffer in this step, or weights are rounded at random, or a report is wanted.
    pub fn in_stack<B: Backend>(
        &self,
        block: &BlockState<B::Matrix>,
        (rule, weights): (&dyn UpdateRule<B>, Weights),
        shape: (usize, usize),
    ) -> Option<StepRates> {
        let buffers = weights.with_rule(rule, "", |rule| rule.buffers(shape));
        // A rule makes buffers in a step of its own.
        let all_exist = buffers.iter().all(|buffer| block.state.get(buffer.name).is_some());
        let is_drawn = matches!(weights, Weights::Stochastic { .. });
        let is_one = rule.batching() == Batching::Stacked && all_exist && !is_drawn && !self.keep_report;
        is_one.then(|| self.rates.at(block.steps, rule))
    }
}

impl<B: Backend> Stacks<B> {
    /// The step of blocks that are [alike](Stacking::alike) and have the same shape, rule and [rates](StepOptions::in_stack): in stacks of equal counts, or two
    /// that differ by one. `scale`: the norm clip's factor; `workspace`: for a block that is left alone.
    ///
    /// # Errors
    /// As [`StepOptions::step`], with a block's name: of a stack the first one's.
    pub fn step(
        &mut self,
        mut blocks: Vec<Stacked<'_, B>>,
        (rule, weights): (&dyn UpdateRule<B>, Weights),
        scale: Option<&B::Scalar>,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let backend = workspace.backend().clone();
        let most = backend.stacking().map_or(1, |stacking| {
            let shape = blocks.first().map_or((1, 1), |block| block.weights.shape());
            (ENTRIES / (shape.0 * shape.1).max(1)).clamp(1, stacking.most())
        });
        while !blocks.is_empty() {
            let count = blocks.len().div_ceil(blocks.len().div_ceil(most));
            let later = blocks.split_off(count);
            match (backend.stacking(), blocks.as_mut_slice()) {
                (Some(stacking), [_, _, ..]) => {
                    self.step_stack(&mut blocks, (rule, weights), scale, stacking)?
                }
                _ => {
                    for Stacked { name, weights: x, gradient, block, options, .. } in blocks {
                        let stepped = weights.with_rule(rule, name, |rule| {
                            options.step(block, rule, x, (gradient, scale), workspace)
                        });
                        stepped.map_err(|error| error.for_parameter(name))?;
                    }
                }
            }
            blocks = later;
        }
        Ok(())
    }

    fn step_stack(
        &mut self,
        blocks: &mut [Stacked<'_, B>],
        (rule, how): (&dyn UpdateRule<B>, Weights),
        scale: Option<&B::Scalar>,
        stacking: &dyn Stacking<B>,
    ) -> Result<()> {
        let count = blocks.len();
        let Some(one) = blocks.first() else { return Ok(()) };
        let (first, name, shape) = (one.index, one.name, one.weights.shape());
        let rates = one.options.rates.at(one.block.steps, rule);
        let buffers = how.with_rule(rule, "", |rule| rule.buffers(shape));
        let mut last = self.take(first, count);
        let mut stack = |parts: Vec<&B::Matrix>| stacking.stack(&parts, last.pop());
        let mut step = || {
            let mut weights = stack(blocks.iter().map(|block| &*block.weights).collect())?;
            let gradient = stack(blocks.iter().map(|block| block.gradient).collect())?;
            let mut state = State::default();
            for buffer in &buffers {
                let parts = blocks.iter().map(|block| block.block.state.named(buffer.name));
                state.put(buffer.name, stack(parts.collect::<Result<_>>()?)?);
            }
            let workspace = self.workspace(stacking, count)?;
            let given = scaled(&gradient, scale);
            how.with_rule(rule, "", |rule| rule.step(&mut weights, &given, &mut state, &rates, workspace))?;
            // In the order in which they were made.
            let mut used = Vec::from([
                stacking.unstack(weights, blocks.iter_mut().map(|block| &mut *block.weights).collect())?,
                stacking.unstack(gradient, Vec::new())?,
            ]);
            for buffer in &buffers {
                let Some(stack) = state.take(buffer.name) else { continue };
                let parts = blocks.iter_mut().filter_map(|block| block.block.state.get_mut(buffer.name));
                used.push(stacking.unstack(stack, parts.collect())?);
            }
            Ok(used.into_iter().flatten().collect())
        };
        let stacks = step().map_err(|error: Error| error.for_parameter(name))?;
        self.groups.push(Group { first, count, stacks });
        blocks.iter_mut().for_each(|block| block.block.steps += 1);
        Ok(())
    }

    fn workspace(&mut self, stacking: &dyn Stacking<B>, count: usize) -> Result<&mut Workspace<B>> {
        let found = self.workspaces.iter().position(|(known, _)| *known == count);
        let (_, workspace) = match found {
            Some(at) => self.workspaces.remove(at),
            None => (count, Workspace::new(stacking.of(count)?)),
        };
        if self.workspaces.len() >= WORKSPACES {
            self.workspaces.remove(0);
        }
        self.workspaces.push((count, workspace));
        let reason = "a workspace that has just been made is gone";
        let gone = || Error::new("step", ErrorKind::State { reason });
        self.workspaces.last_mut().map(|(_, workspace)| workspace).ok_or_else(gone)
    }

    pub(super) fn arrange(&mut self, place: impl Fn(&B::Matrix) -> u64) {
        self.workspaces.iter_mut().for_each(|(_, workspace)| workspace.arrange(&place));
    }

    /// What the group that begins with this block left, the first one last; nothing if it was another.
    fn take(&mut self, first: usize, count: usize) -> Vec<B::Matrix> {
        let Some(at) = self.groups.iter().position(|group| group.first == first) else { return Vec::new() };
        let mut group = self.groups.swap_remove(at);
        group.stacks.reverse();
        if group.count == count { group.stacks } else { Vec::new() }
    }
}

impl<B: Backend> Update<'_, B> {
    /// The step of blocks of one shape and rule at the same rates.
    pub(super) fn apply_stacked(
        &self,
        blocks: Vec<Taken<'_, B>>,
        stacks: &mut Stacks<B>,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let mut of = None;
        let stacked = blocks.into_iter().map(|(index, member, weights, gradient)| {
            let options = self.options(&member.spec);
            of = Some((&*self.rules[member.rule], member.spec.weights));
            member.report = None;
            Stacked { index, name: &member.spec.name, weights, gradient, block: &mut member.block, options }
        });
        let stacked = stacked.collect();
        of.map_or(Ok(()), |of| stacks.step(stacked, of, self.prepared.scale.as_ref(), workspace))
    }
}
