//! What a step of a whole model does besides stepping its matrices, without a state of its own: for whoever owns the loop.
//!
//! [`Optimizer`](super::Optimizer) calls it where a model's matrices are a list on one backend. A framework that keeps parameters, gradients
//! or states in containers of its own calls it with views of them, also where they are of several arithmetic types:
//!
//! 1. [`ModelRates`]: what learning rate, decay and threshold a matrix has in a step;
//! 2. [`check_present`]: which gradients must be there;
//! 3. [`prepare`]: finite check, pre-clip, norm clip, range check of all gradients;
//! 4. [`StepOptions::step`]: the step of a matrix, its report, and what becomes of a NaN that nobody checked for;
//! 5. [`Stacks::step`]: that of several matrices of one shape as one, where the backend has [stacks](crate::backend::Stacking);
//! 6. [`Matches`], [`Place`]: from a saved state to the matrices of a model.

mod gradients;
mod list;
mod over_ranks;
mod restore;
mod step;

pub use super::rates::ModelRates;
pub use super::report::Before;
pub use super::stacks::{Stacked, Stacks};
pub use gradients::{Measured, prepare};
pub use list::{Given, GradientList, Gradients};
pub(super) use over_ranks::OverRanks;
pub use restore::{Matches, Place};
pub use step::{StepOptions, Stepped};
pub(super) use step::{scaled, spoil};

use super::Config;
use crate::backend::{Backend, Error, ErrorKind, Result};
use crate::rules::UpdateRule;

/// An error unless some parameter has a gradient and, under [`Config::require_gradients`], each one. `any`: whether one that is not
/// frozen has; `missing`: the first of those that has not.
///
/// # Errors
/// [`ErrorKind::MissingGradient`], with the parameter's name if it is one that has none.
pub fn check_present<'n>(
    config: &Config,
    any: bool,
    missing: impl FnOnce() -> Option<&'n str>,
) -> Result<()> {
    let refuse = |hint| Error::new("prepare", ErrorKind::MissingGradient { hint });
    if !any {
        return Err(refuse("none has one: the loss depends on no parameter of this optimizer"));
    }
    if config.require_gradients
        && let Some(name) = missing()
    {
        return Err(refuse("it has none, and require_gradients is set").for_parameter(name));
    }
    Ok(())
}

/// An error if a setting of the rule is outside its domain, or it keeps two buffers of one name for a matrix of this shape.
///
/// # Errors
/// Those of [`UpdateRule::validate`]; [`ErrorKind::Name`].
pub fn check_rule<B: Backend>(rule: &dyn UpdateRule<B>, shape: (usize, usize)) -> Result<()> {
    rule.validate()?;
    let buffers = rule.buffers(shape);
    if buffers.iter().enumerate().any(|(i, one)| buffers[..i].iter().any(|other| other.name == one.name)) {
        let (name, reason) = (rule.signature().into(), "keeps two buffers of one name");
        return Err(Error::new("optimizer", ErrorKind::Name { name, reason }));
    }
    Ok(())
}
