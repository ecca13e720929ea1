//! Shampoo's runs.

use spectra_core::backend::Backend;
use spectra_core::rules::{Graft, Shampoo};

use super::Run;
use crate::Precision;
use crate::golden::{Golden, names};
use crate::suite::{Failure, Judge, Outcome, Subject};

/// Eight steps of Shampoo with sums and of its distributed form with averages, held roots and Adam's graft, as the authors' program has
/// them for matrices that are not merged: weights and Gram matrices.
///
/// In single precision the first only with the larger eps: `eps^(-1/4)` a side, on components of a gradient outside of a Gram matrix that
/// is known to 6e-8, is 1e6 at the smaller.
///
/// Finds: a vector with a matrix's exponent, averages that are not corrected, roots made at other steps, decay before the graft.
pub fn golden_shampoo<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for name in names("peer_shampoo_")? {
        let case = &Golden::load(&name)?;
        let eps = case.hyper_number("epsilon")?;
        if subject.precision() == Precision::F32 && eps < SMALLEST_EPS {
            continue;
        }
        let betas = case.hyper_numbers("betas")?;
        let &[beta1, beta2] = betas.as_slice() else {
            return Err(Failure::Suite { reason: format!("{name}: {} betas", betas.len()) });
        };
        let every = case.hyper_count("precondition_frequency")? as u64;
        let mut rule = Shampoo {
            beta1,
            beta2,
            eps,
            every,
            weight_decay: case.hyper_number("weight_decay")?,
            graft: None,
            ..Shampoo::FULL
        };
        if name.ends_with("_graft") {
            case.hyper_must_be("grafting.kind", "adam")?;
            case.hyper_must_be("grafting.norm_eps", 1e-16)?;
            let (beta2, eps) = (case.hyper_number("grafting.beta2")?, case.hyper_number("grafting.epsilon")?);
            rule.graft = Some(Graft::Adam { beta2, eps });
            rule.start = Some(case.hyper_count("start_preconditioning_step")? as u64);
        } else {
            case.hyper_must_be("grafting", serde_json::Value::Null)?;
            case.hyper_must_be("momentum", serde_json::Value::Null)?;
            case.hyper_must_be("exponent_2d", -0.25)?;
            case.hyper_must_be("exponent_1d", -0.5)?;
        }
        let (lr, buffers) = (case.hyper_number("lr")?, [("L", "left_gram"), ("R", "right_gram")]);
        Run { judge: &mut judge, subject, case, lr, buffers: &buffers }.compare(&rule, |_, _, _| Ok(()))?;
    }
    judge.finish()
}

/// In single precision.
const SMALLEST_EPS: f64 = 1e-5;
