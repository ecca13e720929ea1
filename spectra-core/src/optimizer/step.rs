//! A step: the update of each parameter, and whether the step came to its end.

use super::member::{Member, SharedRules, with_rule};
use super::policy::StepOptions;
use super::progress::Progress;
use super::rates::ModelRates;
use super::stacks::Stacks;
use super::{Config, Optimizer, ParameterSpec, Prepared};
use crate::backend::{Backend, Error, Matrix, Result, check_shape};
use crate::linalg::Workspace;
use crate::rules::StepInfo;
use alloc::vec::Vec;

impl<B: Backend> Optimizer<B> {
    /// One step of parameter `index`; `X <- (1 - lr wd) X - lr scale map(direction(G))`. Frozen: nothing.
    ///
    /// # Errors
    /// Shapes and an unknown index, with nothing changed; an earlier failure. Any other comes from the device or its memory, may have
    /// left this parameter between two steps, and makes the optimizer refuse everything but a [restore](Self::restore).
    /// Each names the parameter.
    pub fn update(
        &mut self,
        index: usize,
        weights: &mut B::Matrix,
        gradient: &B::Matrix,
        prepared: &Prepared<B>,
    ) -> Result<StepInfo<B::Scalar>> {
        self.check_not_failed("update")?;
        check_pair(self.spec(index)?, weights, gradient)?;
        self.progress = Progress::Begun(index);
        let Parts { update, members, workspace, .. } = self.parts(prepared);
        let outcome = update.apply(index, &mut members[index], weights, gradient, workspace);
        if outcome.is_err() {
            self.progress = Progress::Failed(index);
        }
        outcome
    }

    /// Counts a step of parameter `index` that another rank takes; its buffers are `elsewhere(rows, cols)`.
    pub(crate) fn count_elsewhere(
        &mut self,
        index: usize,
        elsewhere: impl Fn(usize, usize) -> Result<B::Matrix>,
    ) -> Result<()> {
        let Some(Member { spec, rule, block, .. }) = self.members.get_mut(index) else { return Ok(()) };
        if block.steps == 0 {
            let shape = (spec.rows, spec.cols);
            for buffer in with_rule(&*self.rules[*rule], spec, |rule| rule.buffers(shape)) {
                block.state.put(buffer.name, elsewhere(buffer.rows, buffer.cols)?);
            }
        }
        block.steps += 1;
        Ok(())
    }

    /// Counts the step, unless an update has failed; call it after the last [`update`](Self::update).
    pub fn finish(&mut self, prepared: Prepared<B>) {
        self.take_back(prepared.replaced);
        if !matches!(self.progress, Progress::Failed(_)) {
            self.progress = Progress::Whole;
            self.steps += 1;
        }
    }

    /// A whole step over `(X, G)` of every parameter in order.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare), with nothing changed; then as [`update`](Self::update).
    pub fn step(&mut self, parameters: &mut [(&mut B::Matrix, &B::Matrix)]) -> Result<()> {
        let prepared = self.prepare_all(parameters)?;
        let pairs = parameters.iter_mut().enumerate();
        if self.batches() {
            let mut pairs: Vec<_> = pairs.map(|(index, (x, g))| (index, &mut **x, &**g)).collect();
            self.update_all(&mut pairs, &prepared)?;
        } else {
            pairs
                .map(|(index, (x, g))| self.update(index, x, g, &prepared))
                .try_for_each(|done| done.map(|_| ()))?;
        }
        self.finish(prepared);
        Ok(())
    }

    /// Checks the weights' shapes, then as [`prepare`](Self::prepare).
    pub(super) fn prepare_all(&mut self, parameters: &[(&mut B::Matrix, &B::Matrix)]) -> Result<Prepared<B>> {
        if parameters.len() != self.members.len() {
            let (given, wanted) = (parameters.len(), self.members.len());
            return Err(Error::shape("step (number of parameters)", (wanted, 1), (given, 1)));
        }
        for ((weights, _), Member { spec, .. }) in parameters.iter().zip(&self.members) {
            check_shape("step", (spec.rows, spec.cols), weights.shape())
                .map_err(|error| error.for_parameter(&spec.name))?;
        }
        self.prepare(parameters.iter().map(|(_, gradient)| *gradient).enumerate())
    }

    /// Makes the buffers of every parameter's direction that do not exist yet, so that the commonest lack of memory is met
    /// before anything has changed.
    pub(super) fn reserve<'g>(
        &mut self,
        gradients: impl Iterator<Item = (usize, &'g B::Matrix)>,
    ) -> Result<()>
    where
        B::Matrix: 'g,
    {
        for (index, gradient) in gradients {
            if let Some(Member { spec, rule, block, .. }) =
                self.members.get_mut(index).filter(|m| m.is_live())
            {
                let backend = self.workspace.backend();
                let reserved =
                    with_rule(&*self.rules[*rule], spec, |rule| block.reserve(rule, gradient, backend));
                reserved.map_err(|error| error.for_parameter(&spec.name))?;
            }
        }
        Ok(())
    }

    /// What the members of a step have in common, and what it changes.
    pub(super) fn parts<'a>(&'a mut self, prepared: &'a Prepared<B>) -> Parts<'a, B> {
        let update = Update {
            config: &self.config,
            rules: &self.rules,
            rates: self.rates,
            model_step: self.steps,
            keeps_reports: self.keeps_reports,
            prepared,
        };
        Parts {
            update,
            members: &mut self.members,
            workspace: &mut self.workspace,
            stacks: &mut self.stacks,
            #[cfg(feature = "faer")]
            beside: &mut self.beside,
        }
    }
}

/// An error that names the parameter unless weights and gradient have its shape.
pub(super) fn check_pair<M: Matrix>(spec: &ParameterSpec, weights: &M, gradient: &M) -> Result<()> {
    let shape = (spec.rows, spec.cols);
    check_shape("update", shape, weights.shape())
        .and_then(|()| check_shape("update", shape, gradient.shape()))
        .map_err(|error| error.for_parameter(&spec.name))
}

/// A step's part that is the same for all members.
#[derive(Debug)]
pub(super) struct Update<'a, B: Backend> {
    config: &'a Config,
    rates: ModelRates,
    model_step: u64,
    keeps_reports: bool,
    pub(super) rules: &'a SharedRules<B>,
    pub(super) prepared: &'a Prepared<B>,
}

/// An optimizer taken apart.
pub(super) struct Parts<'a, B: Backend> {
    pub(super) update: Update<'a, B>,
    pub(super) members: &'a mut [Member<B>],
    pub(super) workspace: &'a mut Workspace<B>,
    pub(super) stacks: &'a mut Stacks<B>,
    #[cfg(feature = "faer")]
    pub(super) beside: &'a mut Vec<Workspace<B>>,
}

impl<B: Backend> Update<'_, B> {
    /// The step of one member, number `index`; weights and gradient have its shape.
    pub(super) fn apply(
        &self,
        index: usize,
        member: &mut Member<B>,
        weights: &mut B::Matrix,
        gradient: &B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<StepInfo<B::Scalar>> {
        if !member.is_live() {
            return Ok(StepInfo::default());
        }
        let Member { spec, rule, block, report } = member;
        *report = None;
        let gradient = (self.gradient(index, gradient), self.prepared.scale.as_ref());
        let stepped = with_rule(&*self.rules[*rule], spec, |rule| {
            self.options(spec).step(block, rule, weights, gradient, workspace)
        });
        let (info, new) = stepped.map_err(|error| error.for_parameter(&spec.name))?;
        *report = new;
        Ok(info)
    }

    /// How this matrix is stepped.
    pub(super) fn options(&self, spec: &ParameterSpec) -> StepOptions {
        StepOptions {
            rates: self.rates.of(self.config, spec, self.model_step),
            check_finite: self.config.check_finite,
            keep_report: self.keeps_reports,
        }
    }

    /// The gradient of parameter `index`, or what takes its place.
    pub(super) fn gradient<'g>(&'g self, index: usize, gradient: &'g B::Matrix) -> &'g B::Matrix {
        self.prepared.replaced(index).unwrap_or(gradient)
    }
}
