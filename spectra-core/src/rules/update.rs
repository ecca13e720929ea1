//! The update of any rule, taken from it without the weights.

use super::{StepInfo, StepRates, UpdateRule};
use crate::backend::{Backend, Coefficient, Gradient, Matrix, Result};
use crate::linalg::Workspace;
use crate::state::State;

/// `-U` and what the step found out, `U` being what `rule` would subtract from the weights at learning rate 1 without decay: a
/// temporary, to be given back. It is what the rule makes of weights of zero, so no digit is lost; the rule must be one whose update
/// does not depend on the weights.
pub(super) fn negative_update<B: Backend>(
    rule: &(impl UpdateRule<B> + ?Sized),
    weights: &B::Matrix,
    gradient: &Gradient<'_, B::Matrix>,
    state: &mut State<B::Matrix>,
    rates: &StepRates,
    workspace: &mut Workspace<B>,
) -> Result<(B::Matrix, StepInfo<B::Scalar>)> {
    let mut update = workspace.take_like(gradient.values, weights.shape().1)?;
    // Of the weights, not the gradient: 0 times infinity would be NaN where the rule takes a sign.
    update.scale_add(Coefficient::ZERO, Coefficient::ZERO, weights)?;
    let alone = StepRates { lr: 1.0, weight_decay: 0.0, ..*rates };
    let info = rule.step(&mut update, gradient, state, &alone, workspace)?;
    Ok((update, info))
}
