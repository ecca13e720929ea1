//! Blocks of one shape that step as one, on stacks of matrices.

use super::batch::Taken;
use super::member::Member;
use super::policy::scaled;
use super::step::Update;
use crate::backend::{Backend, Error, ErrorKind, Result, Stacking};
use crate::linalg::Workspace;
use crate::rules::{StepRates, UpdateRule, Weights};
use crate::state::State;
use alloc::vec::Vec;

/// Entries of a stack: 128 MiB in `f32`, of which a step has several temporaries. Matrices of a quarter of that keep a device busy by
/// themselves, and a launch that is saved is nothing beside one of them.
const ENTRIES: usize = 1 << 25;

/// Workspaces that are kept, one for each count of parts.
const WORKSPACES: usize = 8;

/// What stacked steps keep: temporaries, and the stacks of the step before, whose places serve again.
#[derive(Debug)]
pub(super) struct Stacks<B: Backend> {
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

impl<B: Backend> Stacks<B> {
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

/// What blocks must have in common to be stacked, beside matrices that are alike: all that a step is told.
pub(super) fn rates_in_stack<B: Backend>(
    update: &Update<'_, B>,
    member: &Member<B>,
    rule: &dyn UpdateRule<B>,
) -> Option<StepRates> {
    let (spec, block) = (&member.spec, &member.block);
    let buffers = spec.weights.with_rule(rule, "", |rule| rule.buffers((spec.rows, spec.cols)));
    // A rule makes buffers in a step of its own.
    let all_exist = buffers.iter().all(|buffer| block.state.get(buffer.name).is_some());
    let is_drawn = matches!(spec.weights, Weights::Stochastic { .. });
    let options = update.options(spec);
    (all_exist && !is_drawn && !options.keep_report).then(|| options.rates.at(block.steps, rule))
}

impl<B: Backend> Update<'_, B> {
    /// The step of blocks of one shape and rule at the same rates: in stacks of equal counts, or two that differ by one.
    pub(super) fn apply_stacked(
        &self,
        mut blocks: Vec<Taken<'_, B>>,
        stacks: &mut Stacks<B>,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let backend = workspace.backend().clone();
        let most = backend.stacking().map_or(1, |stacking| {
            let entries = blocks.first().map_or(1, |(_, member, ..)| member.spec.rows * member.spec.cols);
            (ENTRIES / entries.max(1)).clamp(1, stacking.most())
        });
        while !blocks.is_empty() {
            let count = blocks.len().div_ceil(blocks.len().div_ceil(most));
            let later = blocks.split_off(count);
            match (backend.stacking(), blocks.as_mut_slice()) {
                (Some(stacking), [_, _, ..]) => self.apply_stack(&mut blocks, stacking, stacks)?,
                _ => {
                    for (index, member, weights, gradient) in blocks {
                        self.apply(index, member, weights, gradient, workspace)?;
                    }
                }
            }
            blocks = later;
        }
        Ok(())
    }

    fn apply_stack(
        &self,
        blocks: &mut [Taken<'_, B>],
        stacking: &dyn Stacking<B>,
        stacks: &mut Stacks<B>,
    ) -> Result<()> {
        let count = blocks.len();
        let Some((first, member, ..)) = blocks.first() else { return Ok(()) };
        let (first, shape) = (*first, (member.spec.rows, member.spec.cols));
        let (rule, how, name) = (&*self.rules[member.rule], member.spec.weights, member.spec.name.clone());
        let rates = self.options(&member.spec).rates.at(member.block.steps, rule);
        let buffers = how.with_rule(rule, "", |rule| rule.buffers(shape));
        let mut last = stacks.take(first, count);
        let mut stack = |parts: Vec<&B::Matrix>| stacking.stack(&parts, last.pop());
        let mut step = || {
            let mut weights = stack(blocks.iter().map(|(_, _, weights, _)| &**weights).collect())?;
            let gradient = stack(blocks.iter().map(|(.., gradient)| *gradient).collect())?;
            let mut state = State::default();
            for buffer in &buffers {
                let parts = blocks.iter().map(|(_, member, ..)| member.block.state.named(buffer.name));
                state.put(buffer.name, stack(parts.collect::<Result<_>>()?)?);
            }
            let workspace = stacks.workspace(stacking, count)?;
            let given = scaled(&gradient, self.prepared.scale.as_ref());
            how.with_rule(rule, "", |rule| rule.step(&mut weights, &given, &mut state, &rates, workspace))?;
            let mut used = Vec::from([weights, gradient]);
            used.extend(buffers.iter().filter_map(|buffer| state.take(buffer.name)));
            Ok(used)
        };
        let used = step().map_err(|error: Error| error.for_parameter(&name))?;
        stacks.groups.push(Group { first, count, stacks: used });
        for (_, member, ..) in blocks {
            member.block.steps += 1;
            member.report = None;
        }
        Ok(())
    }
}
