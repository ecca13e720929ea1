//! Cautious weight decay.

use spectra_core::backend::{Backend, Gradient};
use spectra_core::directions::{Adam, Direction, Momentum};
use spectra_core::optimizer::{Method, ParameterState, Rates, Recipe};
use spectra_core::rules::Cautious;

use super::{Run, parameter};
use crate::distance::max_error;
use crate::golden::Golden;
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::tolerance;

/// One cautious and one plain update with zeros of both signs in weights and update; eight steps of AdamW with cautious decay.
///
/// Finds: a product of zero that spares the weight, a mask of the gradient in place of the update, decay of the new weights.
pub fn golden_cautious<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    one_update(&mut judge, subject, &Golden::load("peer_cautious_op")?)?;
    let case = &Golden::load("peer_cautious_adamw")?;
    case.hyper_must_be("cautious", true)?;
    let number = |name| case.hyper_number(name);
    let adam = Adam { beta1: number("beta1")?, beta2: number("beta2")?, eps: number("epsilon")? };
    let recipe = Recipe { direction: Direction::Adam(adam), ..Recipe::adamw() };
    let rule = Cautious::new(recipe.with_weight_decay(number("weight_decay")?));
    let lr = number("lr")?;
    Run { judge: &mut judge, subject, case, lr, buffers: &[] }.compare(&rule, |_, _, _| Ok(()))?;
    judge.finish()
}

/// `X - lr wd X [X U >= 0] - adjusted_lr U`: a rule whose update is the gradient, at the adjusted rate.
fn one_update<B: Backend>(judge: &mut Judge, subject: &Subject<B>, case: &Golden) -> Result<(), Failure> {
    let (lr, adjusted) = (case.hyper_number("lr")?, case.hyper_number("adjusted_lr")?);
    let weight_decay = Some(lr * case.hyper_number("weight_decay")? / adjusted);
    let rates = Rates { weight_decay, ..Rates::new(adjusted) };
    let plain = Recipe { direction: Direction::Momentum(Momentum::polyak(0.0)), ..Recipe::adamw() };
    let workspace = &mut subject.workspace();
    for (output, rule) in [("plain", Method::from(plain)), ("dion_muon", Cautious::new(plain).into())] {
        for j in 0..4 {
            let mut weights = subject.upload(&parameter(case, &format!("X{j}"))?)?;
            let update = subject.upload(&parameter(case, &format!("U{j}"))?)?;
            let mut state = ParameterState::<B, Method>::new(rule)?;
            state.step(&mut weights, &Gradient::new(&update), rates, workspace)?;
            let output = format!("{output}{j}");
            let golden = case.outputs().array(&output)?.to_f64();
            let integers = || Failure::Suite { reason: format!("{}: {output} holds integers", case.name) };
            let golden = golden.ok_or_else(integers)?;
            let tolerance = tolerance::golden(subject.precision(), case.tolerance_of(&output)?);
            let error = max_error(&subject.download(&weights)?.data, &golden);
            judge.compare(format_args!("{} {output}", case.name), error, tolerance)?;
        }
    }
    Ok(case.finish()?)
}
