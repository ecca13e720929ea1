//! The step of a matrix.

use super::Before;
use crate::backend::{Backend, Error, Gradient, Matrix, Result, check_same};
use crate::linalg::Workspace;
use crate::optimizer::{BlockState, StepReport};
use crate::rules::{Rates, StepInfo, StepRates, UpdateRule};
use crate::state::{MASTER, State};

/// How a matrix is stepped, apart from its rule.
#[derive(Debug, Clone, Copy)]
pub struct StepOptions {
    /// Its rates.
    pub rates: Rates,
    /// [`Config::check_finite`](crate::optimizer::Config::check_finite).
    pub check_finite: bool,
    /// Whether a report is made: two passes over the weights and a temporary of their shape more, and no wait.
    pub keep_report: bool,
}

/// What a step found out, and its report if one is made.
pub type Stepped<S> = (StepInfo<S>, Option<StepReport<S>>);

impl StepOptions {
    /// One step of `rule` by the gradient `G`, times the norm clip's factor `scale` if there is one.
    ///
    /// Where nobody asked for the check, a map that goes by norms may meet a NaN or an infinity on the host and refuse it. A device
    /// would not have noticed, as the image of such a matrix is NaN: weights and [master](crate::rules::Rounding) become that, and the step counts.
    ///
    /// # Errors
    /// As [`BlockState::step`].
    pub fn step<B: Backend>(
        &self,
        block: &mut BlockState<B::Matrix>,
        rule: &dyn UpdateRule<B>,
        weights: &mut B::Matrix,
        (gradient, scale): (&B::Matrix, Option<&B::Scalar>),
        workspace: &mut Workspace<B>,
    ) -> Result<Stepped<B::Scalar>> {
        self.rates.validate(rule)?;
        check_same("step", weights, gradient)?;
        let begun = self.begin(block.steps, rule, weights, workspace)?;
        let scaled = scaled(gradient, scale);
        let info = match block.advance(rule, weights, &scaled, &begun.rates, workspace) {
            Err(error) if self.spoils(&error) => {
                block.steps += 1;
                spoil(weights, &mut block.state, gradient)?
            }
            outcome => outcome?,
        };
        let report = begun.report(weights, &info, scale, workspace)?;
        Ok((info, report))
    }

    /// What a step begins with; `steps`: those that the matrix has taken.
    pub(in crate::optimizer) fn begin<B: Backend>(
        &self,
        steps: u64,
        rule: &dyn UpdateRule<B>,
        weights: &B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Begun<B>> {
        let before = self.keep_report.then(|| Before::new(weights, workspace)).transpose()?;
        Ok(Begun { rates: self.rates.at(steps, rule), before })
    }

    /// Whether an error is that a map has met a NaN for which nobody wanted a check.
    pub(in crate::optimizer) fn spoils(&self, error: &Error) -> bool {
        !self.check_finite && error.is_non_finite()
    }
}

/// The gradient with the norm clip's factor.
pub(in crate::optimizer) fn scaled<'a, M: Matrix>(
    gradient: &'a M,
    scale: Option<&'a M::Scalar>,
) -> Gradient<'a, M> {
    scale.map_or(Gradient::new(gradient), |factor| Gradient::scaled(gradient, factor))
}

/// Makes NaN of weights and master.
pub(in crate::optimizer) fn spoil<M: Matrix>(
    weights: &mut M,
    state: &mut State<M>,
    gradient: &M,
) -> Result<StepInfo<M::Scalar>> {
    let spoil = |x: &mut M| x.scale_add(f64::NAN.into(), f64::NAN.into(), gradient);
    state.get_mut(MASTER).map_or(Ok(()), spoil)?;
    spoil(weights).map(|()| StepInfo::default())
}

/// A step that has begun.
pub(in crate::optimizer) struct Begun<B: Backend> {
    pub(in crate::optimizer) rates: StepRates,
    before: Option<Before<B>>,
}

impl<B: Backend> Begun<B> {
    /// What it has done, if that is asked for.
    pub(in crate::optimizer) fn report(
        self,
        weights: &B::Matrix,
        info: &StepInfo<B::Scalar>,
        scale: Option<&B::Scalar>,
        workspace: &mut Workspace<B>,
    ) -> Result<Option<StepReport<B::Scalar>>> {
        let Self { rates, before } = self;
        before
            .map(|before| before.report(weights, (info.clone(), rates), scale.cloned(), workspace))
            .transpose()
    }
}
