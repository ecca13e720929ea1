//! Several parameters of a step, those of one rule together where it wants them so.

use super::member::{Member, with_rule};
use super::policy::{scaled, spoil};
use super::progress::Progress;
use super::step::{Parts, Update, check_pair};
use super::{Optimizer, Prepared};
use crate::backend::{Backend, Error, ErrorKind, Result};
use crate::linalg::Workspace;
use crate::rules::{BatchItem, Batching, StepRates, UpdateRule, Weights};
use alloc::vec::Vec;

/// A parameter's index, its weights and its gradient.
pub(super) type Pair<'a, M> = (usize, &'a mut M, &'a M);

/// A parameter of a step: its number, its member, weights, and its gradient or what takes its place.
pub(super) type Taken<'a, B> =
    (usize, &'a mut Member<B>, &'a mut <B as Backend>::Matrix, &'a <B as Backend>::Matrix);

impl<B: Backend> Optimizer<B> {
    /// [`update`](Self::update) of several parameters `(index, X, G)`. Those whose rule
    /// [wants them together](crate::rules::UpdateRule::batching) are handed to it so, the others one after the other.
    ///
    /// # Errors
    /// As [`update`](Self::update); a parameter that is there twice.
    pub fn update_all(
        &mut self,
        parameters: &mut [Pair<'_, B::Matrix>],
        prepared: &Prepared<B>,
    ) -> Result<()> {
        self.check_not_failed("update")?;
        for (index, weights, gradient) in parameters.iter() {
            check_pair(self.spec(*index)?, &**weights, *gradient)?;
        }
        let Some(first) = parameters.first().map(|(index, ..)| *index) else { return Ok(()) };
        self.progress = Progress::Begun(first);
        let outcome = self.update_batches(parameters, prepared);
        if let Err(error) = &outcome {
            let failed = |member: &Member<B>| Some(&*member.spec.name) == error.parameter();
            let named = self.members.iter().position(failed);
            self.progress = Progress::Failed(named.unwrap_or(first));
        }
        outcome
    }

    /// Whether any rule wants blocks together.
    pub(super) fn batches(&self) -> bool {
        let backend = self.workspace.backend();
        self.rules.iter().any(|rule| batching(&**rule, backend) != Batching::Alone)
    }

    fn update_batches(
        &mut self,
        parameters: &mut [Pair<'_, B::Matrix>],
        prepared: &Prepared<B>,
    ) -> Result<()> {
        let Parts { update, members, workspace, stacks, .. } = self.parts(prepared);
        let mut members: Vec<Option<&mut Member<B>>> = members.iter_mut().map(Some).collect();
        let mut batches: Vec<(Key, Vec<Taken<'_, B>>)> = Vec::new();
        for (index, weights, gradient) in parameters {
            let Some(member) = members.get_mut(*index).and_then(Option::take) else {
                return Err(Error::argument("update", "index", *index as f64, "given once"));
            };
            let Some(key) = update.key(member, workspace.backend()) else {
                update.apply(*index, member, weights, gradient, workspace)?;
                continue;
            };
            let taken = (*index, member, &mut **weights, update.gradient(*index, gradient));
            let stacking = workspace.backend().stacking().filter(|_| key.stacked.is_some());
            let fits = |(_, _, w, g): &Taken<'_, B>| {
                stacking.is_none_or(|stacking| stacking.alike(w, taken.2) && stacking.alike(g, taken.3))
            };
            let known = |(known, batch): &&mut (Key, Vec<_>)| *known == key && batch.first().is_none_or(fits);
            match batches.iter_mut().find(known) {
                Some((_, batch)) => batch.push(taken),
                None => batches.push((key, Vec::from([taken]))),
            }
        }
        batches.into_iter().try_for_each(|(key, batch)| match key.stacked {
            Some(_) => update.apply_stacked(batch, stacks, workspace),
            None => update.apply_batch(batch, workspace),
        })
    }
}

/// How a rule's blocks go together on this backend.
fn batching<B: Backend>(rule: &dyn UpdateRule<B>, backend: &B) -> Batching {
    match rule.batching() {
        Batching::Stacked if backend.stacking().is_none() => Batching::Alone,
        batching => batching,
    }
}

/// What blocks that go together have in common.
#[derive(PartialEq)]
struct Key {
    rule: usize,
    weights: Weights,
    shape: Option<(usize, usize)>,
    stacked: Option<StepRates>,
}

impl<B: Backend> Update<'_, B> {
    /// With which others a member goes, if it does.
    fn key(&self, member: &Member<B>, backend: &B) -> Option<Key> {
        let Member { spec, rule, block, .. } = member;
        let of = self.rule(member);
        let shape = Some((spec.rows, spec.cols));
        let (shape, stacked) = match batching(of, backend) {
            _ if !member.is_live() => return None,
            Batching::Alone => return None,
            Batching::AnyShape => (None, None),
            Batching::EqualShapes => (shape, None),
            Batching::Stacked => {
                let options = self.options(spec);
                (shape, Some(options.in_stack(block, (of, spec.weights), (spec.rows, spec.cols))?))
            }
        };
        Some(Key { rule: *rule, weights: spec.weights, shape, stacked })
    }
}

impl<B: Backend> Update<'_, B> {
    /// The step of members with one rule.
    fn apply_batch(&self, batch: Vec<Taken<'_, B>>, workspace: &mut Workspace<B>) -> Result<()> {
        let mut blocks = Vec::with_capacity(batch.len());
        let mut begun = Vec::with_capacity(batch.len());
        let mut rule = None;
        let _scope = workspace.scope();
        let scale = self.prepared.scale.as_ref();
        for (_, member, weights, gradient) in batch {
            let Member { spec, rule: at, block, report } = member;
            *report = None;
            let options = self.options(spec);
            let start = with_rule(&*self.rules[*at], spec, |rule| {
                block.reserve(rule, gradient, workspace.backend())?;
                options.begin(block.steps, rule, weights, workspace)
            });
            let start = start.map_err(|error| error.for_parameter(&spec.name))?;
            rule = Some((&*self.rules[*at], spec.weights, options));
            let gradient = scaled(gradient, scale);
            let (state, rates, name) = (&mut block.state, start.rates, &*spec.name);
            blocks.push(BatchItem { name, weights, gradient, state, rates, info: None });
            begun.push((start, &mut block.steps, report));
        }
        let Some((rule, weights, options)) = rule else { return Ok(()) };
        let done = weights.with_rule(rule, "", |rule| rule.step_batch(&mut blocks, workspace));
        if let Err(error) = done {
            let left = blocks.iter().find(|block| block.info.is_none()).map(|block| block.name);
            if !options.spoils(&error) {
                return Err(left.into_iter().fold(error, Error::for_parameter));
            }
            for block in blocks.iter_mut().filter(|block| block.info.is_none()) {
                let spoilt = spoil(block.weights, block.state, block.gradient.values);
                block.info = Some(spoilt.map_err(|error| error.for_parameter(block.name))?);
            }
        }
        for (block, (start, steps, report)) in blocks.into_iter().zip(begun) {
            let named = |error: Error| error.for_parameter(block.name);
            let reason = "the rule has left out a block of a batch";
            let left_out = || named(Error::new("step_batch", ErrorKind::State { reason }));
            let info = block.info.ok_or_else(left_out)?;
            *steps += 1;
            *report = start.report(block.weights, &info, scale, workspace).map_err(named)?;
        }
        Ok(())
    }
}

impl<B: Backend> Update<'_, B> {
    /// The member's rule, before how its weights are rounded.
    fn rule(&self, member: &Member<B>) -> &dyn UpdateRule<B> {
        &*self.rules[member.rule]
    }
}
