//! The step of a matrix.

use super::Before;
use crate::backend::{Backend, Gradient, Matrix, Result};
use crate::linalg::Workspace;
use crate::optimizer::{BlockState, StepReport};
use crate::rules::{Rates, StepInfo, UpdateRule};
use crate::state::MASTER;

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
        let before = self.keep_report.then(|| Before::new(weights, workspace)).transpose()?;
        let at = self.rates.at(block.steps, rule);
        let scaled = match scale {
            Some(factor) => Gradient::scaled(gradient, factor),
            None => Gradient::new(gradient),
        };
        let info = match block.step(rule, weights, &scaled, self.rates, workspace) {
            Err(error) if !self.check_finite && error.is_non_finite() => {
                block.steps += 1;
                let spoil = |x: &mut B::Matrix| x.scale_add(f64::NAN.into(), f64::NAN.into(), gradient);
                block.state.get_mut(MASTER).map_or(Ok(()), spoil)?;
                spoil(weights)?;
                StepInfo::default()
            }
            outcome => outcome?,
        };
        let report = match before {
            Some(before) => Some(before.report(weights, (info.clone(), at), scale.cloned(), workspace)?),
            None => None,
        };
        Ok((info, report))
    }
}
