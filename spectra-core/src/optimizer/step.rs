//! A step: the update of each parameter, and whether the step came to its end.

use super::member::{Member, SharedRules, with_rule};
use super::progress::Progress;
use super::rates::ModelRates;
use super::report::Before;
use super::{Config, Optimizer, ParameterSpec, Prepared, StepReport};
use crate::backend::{Backend, Error, Gradient, Matrix, Result, check_shape};
use crate::linalg::Workspace;
use crate::rules::{StepInfo, StepRates};
use crate::state::{MASTER, State};
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
        if self.takes_batches() {
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
    prepared: &'a Prepared<B>,
}

/// What a step of a member begins with.
pub(super) struct Start<B: Backend> {
    pub(super) rates: StepRates,
    before: Option<Before<B>>,
}

/// An optimizer taken apart.
pub(super) struct Parts<'a, B: Backend> {
    pub(super) update: Update<'a, B>,
    pub(super) members: &'a mut [Member<B>],
    pub(super) workspace: &'a mut Workspace<B>,
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
        let (start, gradient) = self.begin(index, member, weights, gradient, workspace)?;
        let Member { spec, rule, block, report } = member;
        let outcome = match with_rule(&*self.rules[*rule], spec, |rule| {
            block.advance(rule, weights, &gradient, &start.rates, workspace)
        }) {
            Err(error) if self.spoils(&error) => {
                block.steps += 1;
                self.spoil(weights, &mut block.state, gradient.values)
            }
            outcome => outcome,
        };
        let outcome = outcome.and_then(|info| {
            *report = self.report(start, weights, &info, workspace)?;
            Ok(info)
        });
        outcome.map_err(|error| error.for_parameter(&spec.name))
    }

    /// The rates and the gradient of a member's step.
    pub(super) fn begin<'g>(
        &'g self,
        index: usize,
        member: &mut Member<B>,
        weights: &B::Matrix,
        gradient: &'g B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<(Start<B>, Gradient<'g, B::Matrix>)> {
        let Member { spec, rule, block, report } = member;
        *report = None;
        let rates = self.rates.of(self.config, spec, self.model_step);
        let rates = with_rule(&*self.rules[*rule], spec, |rule| rates.at(block.steps, rule));
        let gradient = self.prepared.replaced(index).unwrap_or(gradient);
        let gradient = match &self.prepared.scale {
            Some(factor) => Gradient::scaled(gradient, factor),
            None => Gradient::new(gradient),
        };
        let before = self.keeps_reports.then(|| Before::new(weights, workspace)).transpose();
        let before = before.map_err(|error| error.for_parameter(&spec.name))?;
        Ok((Start { rates, before }, gradient))
    }

    /// Whether the error is that a map which goes by norms has met a NaN on the host, and nobody asked for the check. A device would
    /// not have noticed: the image of such a matrix is NaN.
    pub(super) fn spoils(&self, error: &Error) -> bool {
        !self.config.check_finite && error.is_non_finite()
    }

    /// Makes NaN of weights and master.
    pub(super) fn spoil(
        &self,
        weights: &mut B::Matrix,
        state: &mut State<B::Matrix>,
        gradient: &B::Matrix,
    ) -> Result<StepInfo<B::Scalar>> {
        let spoil = |x: &mut B::Matrix| x.scale_add(f64::NAN.into(), f64::NAN.into(), gradient);
        state.get_mut(MASTER).map_or(Ok(()), spoil)?;
        spoil(weights).map(|()| StepInfo::default())
    }

    /// What the step did, if that is kept.
    pub(super) fn report(
        &self,
        Start { rates, before }: Start<B>,
        weights: &B::Matrix,
        info: &StepInfo<B::Scalar>,
        workspace: &mut Workspace<B>,
    ) -> Result<Option<StepReport<B::Scalar>>> {
        let scale = self.prepared.scale.clone();
        before.map(|before| before.report(weights, (info.clone(), rates), scale, workspace)).transpose()
    }
}
