//! The runs of Lion.

use spectra_core::backend::Backend;
use spectra_core::directions::{Direction, Lion};
use spectra_core::optimizer::{Method, Recipe};
use spectra_core::rules::Cautious;
use spectra_core::state::MOMENTUM;

use super::Run;
use crate::golden::{Golden, names};
use crate::suite::{Judge, Outcome, Subject};

/// Eight steps of Lion, plain and with cautious decay: weights and momentum.
///
/// Finds: one beta for both blends, a momentum that moves before the sign is taken, a mask from the new weights.
pub fn golden_lion<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for name in names("peer_lion")? {
        let case = &Golden::load(&name)?;
        let direction =
            Direction::Lion(Lion { beta1: case.hyper_number("beta1")?, beta2: case.hyper_number("beta2")? });
        let recipe =
            Recipe { direction, weight_decay: case.hyper_number("weight_decay")?, ..Recipe::adamw() };
        let is_cautious = name == "peer_lion_cautious";
        if is_cautious {
            case.hyper_must_be("cautious", true)?;
        }
        let rule: Method = if is_cautious { Cautious::new(recipe).into() } else { recipe.into() };
        let (lr, buffers) = (case.hyper_number("lr")?, [("M", MOMENTUM)]);
        Run { judge: &mut judge, subject, case, lr, buffers: &buffers }.compare(&rule, |_, _, _| Ok(()))?;
    }
    judge.finish()
}
