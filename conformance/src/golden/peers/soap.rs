//! SOAP's runs.

use spectra_core::backend::Backend;
use spectra_core::rules::Soap;

use super::Run;
use crate::golden::{Golden, names};
use crate::suite::{Failure, Judge, Outcome, Subject};

/// Twelve steps of SOAP, with bases refreshed at every step and at the tenth. The bases after the first call are given: those of a
/// Gram matrix of one gradient are arbitrary in its null space.
///
/// Finds: weights changed by the first call, a second moment that is not permuted with its axis, eps after the bias
/// correction, decay before the step.
pub fn golden_soap<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for name in names("baseline_soap_")? {
        let case = &Golden::load(&name)?;
        let betas = case.hyper_numbers("betas")?;
        let &[beta1, beta2] = betas.as_slice() else {
            return Err(Failure::Suite { reason: format!("{name}: {} betas", betas.len()) });
        };
        // -1: that of the second moment.
        case.hyper_must_be("shampoo_beta", -1)?;
        case.hyper_must_be("correct_bias", true)?;
        case.hyper_must_be("normalize_grads", false)?;
        let rule = Soap {
            beta1,
            beta2,
            shampoo_beta: beta2,
            eps: case.hyper_number("eps")?,
            every: case.hyper_count("precondition_frequency")? as u64,
            weight_decay: case.hyper_number("weight_decay")?,
            ..Soap::PAPER
        };
        let lr = case.hyper_number("lr")?;
        Run { judge: &mut judge, subject, case, lr, buffers: &[] }.compare(&rule, |j, t, state| {
            if t == 2 {
                for (side, buffer) in [("L", "left_basis"), ("R", "right_basis")] {
                    let basis = case.inputs().matrix(&format!("Q{j}_{side}_after_step1"))?;
                    state.put(buffer, subject.upload(&basis)?);
                }
            }
            Ok(())
        })?;
    }
    judge.finish()
}
