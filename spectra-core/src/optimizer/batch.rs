//! Several parameters of a step, those of one rule together where it wants them so.

use super::member::{Member, with_rule};
use super::policy::{scaled, spoil};
use super::progress::Progress;
use super::step::{Parts, Update, check_pair};
use super::{Optimizer, Prepared};
use crate::backend::{Backend, Error, ErrorKind, Result};
use crate::linalg::Workspace;
use crate::rules::{BatchItem, Batching, UpdateRule};
use alloc::vec::Vec;

/// A parameter's index, its weights and its gradient.
pub(super) type Pair<'a, M> = (usize, &'a mut M, &'a M);

/// A parameter of a step: its number, its member, weights and gradient.
type Taken<'a, B> = (usize, &'a mut Member<B>, &'a mut <B as Backend>::Matrix, &'a <B as Backend>::Matrix);

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
        self.rules.iter().any(|rule| rule.batching() != Batching::Alone)
    }

    fn update_batches(
        &mut self,
        parameters: &mut [Pair<'_, B::Matrix>],
        prepared: &Prepared<B>,
    ) -> Result<()> {
        let Parts { update, members, workspace, .. } = self.parts(prepared);
        let mut members: Vec<Option<&mut Member<B>>> = members.iter_mut().map(Some).collect();
        let mut batches: Vec<(_, Vec<Taken<'_, B>>)> = Vec::new();
        for (index, weights, gradient) in parameters {
            let Some(member) = members.get_mut(*index).and_then(Option::take) else {
                return Err(Error::argument("update", "index", *index as f64, "given once"));
            };
            let shape = match update.rule(member).batching() {
                Batching::EqualShapes if member.is_live() => Some((member.spec.rows, member.spec.cols)),
                Batching::AnyShape if member.is_live() => None,
                _ => {
                    update.apply(*index, member, weights, gradient, workspace)?;
                    continue;
                }
            };
            let key = (member.rule, shape, member.spec.weights);
            let taken = (*index, member, &mut **weights, *gradient);
            match batches.iter_mut().find(|(known, _)| *known == key) {
                Some((_, batch)) => batch.push(taken),
                None => batches.push((key, Vec::from([taken]))),
            }
        }
        batches.into_iter().try_for_each(|(_, batch)| update.apply_batch(batch, workspace))
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
        for (index, member, weights, gradient) in batch {
            let Member { spec, rule: at, block, report } = member;
            *report = None;
            let options = self.options(spec);
            let start = with_rule(&*self.rules[*at], spec, |rule| {
                block.reserve(rule, gradient, workspace.backend())?;
                options.begin(block.steps, rule, weights, workspace)
            });
            let start = start.map_err(|error| error.for_parameter(&spec.name))?;
            rule = Some((&*self.rules[*at], spec.weights, options));
            let gradient = scaled(self.gradient(index, gradient), scale);
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
