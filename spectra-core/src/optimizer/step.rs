//! A step: the update of each parameter, and whether the step came to its end.

use super::member::{Member, SharedRules, with_rule};
use super::progress::Progress;
use super::rates::ModelRates;
use super::report::Before;
use super::{Config, Optimizer, ParameterSpec, Prepared};
use crate::backend::{Backend, Error, Gradient, Matrix, Result, check_shape};
use crate::linalg::Workspace;
use crate::rules::StepInfo;
use crate::state::MASTER;
#[cfg(feature = "faer")]
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
        let update = Update {
            config: &self.config,
            rules: &self.rules,
            rates: self.rates,
            model_step: self.steps,
            keeps_reports: self.keeps_reports,
            prepared,
        };
        self.progress = Progress::Begun(index);
        let outcome = update.apply(index, &mut self.members[index], weights, gradient, &mut self.workspace);
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
        for (index, (weights, gradient)) in parameters.iter_mut().enumerate() {
            self.update(index, weights, gradient, &prepared)?;
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
    #[cfg(feature = "faer")]
    pub(super) fn parts<'a>(&'a mut self, prepared: &'a Prepared<B>) -> Parts<'a, B> {
        let update = Update {
            config: &self.config,
            rules: &self.rules,
            rates: self.rates,
            model_step: self.steps,
            keeps_reports: self.keeps_reports,
            prepared,
        };
        Parts { update, members: &mut self.members, workspace: &mut self.workspace, beside: &mut self.beside }
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
    rules: &'a SharedRules<B>,
    rates: ModelRates,
    model_step: u64,
    keeps_reports: bool,
    prepared: &'a Prepared<B>,
}

/// An optimizer taken apart.
#[cfg(feature = "faer")]
pub(super) struct Parts<'a, B: Backend> {
    pub(super) update: Update<'a, B>,
    pub(super) members: &'a mut [Member<B>],
    pub(super) workspace: &'a mut Workspace<B>,
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
        let rates = self.rates.of(self.config, spec, self.model_step);
        *report = None;
        let gradient = self.prepared.replaced(index).unwrap_or(gradient);
        let scaled = match &self.prepared.scale {
            Some(factor) => Gradient::scaled(gradient, factor),
            None => Gradient::new(gradient),
        };
        let before = self.keeps_reports.then(|| Before::new(weights, workspace)).transpose();
        let before = before.map_err(|error| error.for_parameter(&spec.name))?;
        let at = with_rule(&*self.rules[*rule], spec, |rule| rates.at(block.steps, rule));
        let outcome = match with_rule(&*self.rules[*rule], spec, |rule| {
            block.step(rule, weights, &scaled, rates, workspace)
        }) {
            // Nobody asked for the check, and a map that goes by norms met a NaN on the host. A device would not have
            // noticed: the image of such a matrix is NaN.
            Err(error) if !self.config.check_finite && error.is_non_finite() => {
                block.steps += 1;
                let spoil = |x: &mut B::Matrix| x.scale_add(f64::NAN.into(), f64::NAN.into(), gradient);
                let master = block.state.get_mut(MASTER).map_or(Ok(()), spoil);
                master.and_then(|()| spoil(weights)).map(|()| StepInfo::default())
            }
            outcome => outcome,
        };
        let outcome = outcome.and_then(|info| {
            if let Some(before) = before {
                let scale = self.prepared.scale.clone();
                *report = Some(before.report(weights, (info.clone(), at), scale, workspace)?);
            }
            Ok(info)
        });
        outcome.map_err(|error| error.for_parameter(&spec.name))
    }
}
