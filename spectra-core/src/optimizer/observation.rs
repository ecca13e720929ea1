//! What a step would do, for who looks: nothing of the run changes.

use super::member::Member;
use super::parameter::BlockState;
use super::policy::scaled;
use super::{Optimizer, Prepared};
use crate::backend::{
    Backend, Coefficient, Error, ErrorKind, Gradient, Matrix, Result, check_same, check_shape,
};
use crate::linalg::Workspace;
use crate::rules::{Rates, StepRates, UpdateRule};
use crate::state::{MASTER, MOMENTUM, SECOND_MOMENT, State};
use alloc::vec::Vec;

/// One matrix and what a step by its gradient would make of it, each m x n and with memory of its own: later steps do not change it.
///
/// It comes from a dry run of the rule on copies of state and weights, so a run has the same bits whether it is observed or not.
#[derive(Debug, Clone)]
pub struct Observation<M> {
    /// `G` as the rule takes it: after pre-clip and norm clip.
    pub gradient: M,
    /// `D`, what goes into the map; `None` of a rule that is no direction with a map ([`UpdateRule::direction`]).
    pub direction: Option<M>,
    /// `O = (X - X') / lr` without weight decay, the step scale included: exactly what the rule subtracts at a learning rate of 1. Of a
    /// rule that [reads the weights](UpdateRule::reads_weights) the difference of two weights, with a relative error of about `eps ||X|| / (lr ||O||)`, and zero at a learning rate of 0.
    pub update: M,
    /// `X` before the step; the [master](crate::rules::Rounding), where there is one.
    pub weights: M,
    /// The rule's other buffers as they are after the step, each of its own shape.
    pub state: State<M>,
    /// The rates of the step.
    pub rates: StepRates,
}

impl<M> Observation<M> {
    /// The momentum, or first moment, after the step, if the rule keeps one. SOAP's is in its eigenbasis, and what Dion has captured is
    /// damped.
    pub fn momentum(&self) -> Option<&M> {
        self.state.get(MOMENTUM)
    }

    /// The average of squared gradients after the step, if the rule keeps one.
    pub fn second_moment(&self) -> Option<&M> {
        self.state.get(SECOND_MOMENT)
    }

    /// The same with its matrices changed by `f`, or its first error.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn try_map<T>(self, mut f: impl FnMut(M) -> Result<T>) -> Result<Observation<T>> {
        Ok(Observation {
            gradient: f(self.gradient)?,
            direction: self.direction.map(&mut f).transpose()?,
            update: f(self.update)?,
            weights: f(self.weights)?,
            state: self.state.try_map(f)?,
            rates: self.rates,
        })
    }
}

impl<M: Matrix> BlockState<M> {
    /// What [`step`](Self::step) would do; `rule` is that of the matrix in the arithmetic type, which no
    /// [rounding](crate::rules::Weights::with_rule) is around. The state is read, and two copies of it are made; temporaries of the workspace come back to it.
    ///
    /// # Errors
    /// Rates, shapes, memory; a matrix that is divided among ranks; those of the rule.
    pub fn observe<B: Backend<Matrix = M>>(
        &self,
        rule: &(impl UpdateRule<B> + ?Sized),
        weights: &M,
        gradient: &Gradient<'_, M>,
        rates: Rates,
        workspace: &mut Workspace<B>,
    ) -> Result<Observation<M>> {
        rates.validate(rule)?;
        check_same("observe", weights, gradient.values)?;
        if workspace.backend().ranks().is_some() && gradient.values.layout() != 0 {
            let what = "an observation of a matrix that is divided among ranks";
            return Err(Error::new("observe", ErrorKind::Unsupported { what }));
        }
        let _scope = workspace.scope();
        let rates = rates.at(self.steps, rule);
        let backend = workspace.backend().clone();
        let (rows, cols) = weights.shape();
        let zeros = || backend.zeros(rows, cols, Some(weights));

        let mut seen = zeros()?;
        seen.scale_add(Coefficient::ZERO, gradient.scale, gradient.values)?;

        let mut direction = zeros()?;
        let mut state = self.copied(rule, weights, &backend)?;
        let has_direction = rule.direction(&mut direction, gradient, &mut state, &rates, workspace)?;

        let mut state = self.copied(rule, weights, &backend)?;
        let weights = match state.take(MASTER) {
            Some(master) => master,
            None => copy(weights, &backend)?,
        };
        let mut update = zeros()?;
        if rule.reads_weights() {
            let undecayed = StepRates { weight_decay: 0.0, ..rates };
            update.copy_from(&weights)?;
            rule.step(&mut update, gradient, &mut state, &undecayed, workspace)?;
            let inverse = if rates.lr == 0.0 { 0.0 } else { 1.0 / rates.lr };
            update.scale_add((-inverse).into(), inverse.into(), &weights)?;
        } else {
            // Of weights of zero, so that no digit is lost.
            let alone = StepRates { lr: 1.0, weight_decay: 0.0, ..rates };
            rule.step(&mut update, gradient, &mut state, &alone, workspace)?;
            update.scale_add((-1.0).into(), Coefficient::ZERO, &weights)?;
        }
        let direction = has_direction.then_some(direction);
        Ok(Observation { gradient: seen, direction, update, weights, state, rates })
    }

    /// The buffers, as a step finds them, in memory of their own.
    fn copied<B: Backend<Matrix = M>>(
        &self,
        rule: &(impl UpdateRule<B> + ?Sized),
        weights: &M,
        backend: &B,
    ) -> Result<State<M>> {
        let mut block = Self { state: State::default(), steps: self.steps };
        for (name, buffer) in self.state.iter() {
            block.state.put(name, copy(buffer, backend)?);
        }
        block.reserve(rule, weights, backend)?;
        Ok(block.state)
    }
}

fn copy<B: Backend>(matrix: &B::Matrix, backend: &B) -> Result<B::Matrix> {
    let (rows, cols) = matrix.shape();
    let mut copy = backend.zeros(rows, cols, Some(matrix))?;
    copy.copy_from(matrix)?;
    Ok(copy)
}

impl<B: Backend> Optimizer<B> {
    /// What a step by these gradients `(parameter index, G)` would make of the matrices `wanted`, `(index, X)`, without taking it: checks and
    /// clips as in [`prepare`](Self::prepare), hence the same factor of the norm clip, then a dry run of each. Neither state nor
    /// [reports](Self::report) change.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare) and [`BlockState::observe`]; a matrix that is unknown, frozen or has no gradient here, by its name.
    pub fn observe<'g>(
        &mut self,
        gradients: impl Iterator<Item = (usize, &'g B::Matrix)> + Clone,
        wanted: &[(usize, &B::Matrix)],
    ) -> Result<Vec<Observation<B::Matrix>>>
    where
        B::Matrix: 'g,
    {
        let prepared = self.measure("observe", gradients.clone(), true)?;
        let one = |(index, weights): &(usize, &B::Matrix)| {
            let gradient = gradients.clone().find(|(of, _)| of == index).map(|(_, gradient)| gradient);
            self.observe_prepared(*index, weights, gradient, &prepared)
        };
        let observed = wanted.iter().map(one).collect();
        self.take_back(prepared.replaced);
        observed
    }

    fn observe_prepared(
        &mut self,
        index: usize,
        weights: &B::Matrix,
        gradient: Option<&B::Matrix>,
        prepared: &Prepared<B>,
    ) -> Result<Observation<B::Matrix>> {
        self.spec(index)?;
        let Self { config, rules, members, workspace, rates, steps, .. } = self;
        let member @ Member { spec, rule, block, .. } = &members[index];
        let named = |error: Error| error.for_parameter(&spec.name);
        check_shape("observe", (spec.rows, spec.cols), weights.shape()).map_err(named)?;
        if !member.is_live() {
            let (name, reason) = (spec.name.clone(), "is frozen: no step changes it");
            return Err(Error::new("observe", ErrorKind::Name { name, reason }));
        }
        let missing = || Error::new("observe", ErrorKind::MissingGradient { hint: "it has none here" });
        let gradient = prepared.replaced(index).or(gradient).ok_or_else(missing).map_err(named)?;
        let gradient = scaled(gradient, prepared.scale.as_ref());
        let rates = rates.of(config, spec, *steps);
        block.observe(&*rules[*rule], weights, &gradient, rates, workspace).map_err(named)
    }
}
