//! PolarGrad by its program's own polar factor.

use spectra_core::backend::Backend;
use spectra_core::directions::Momentum;
use spectra_core::linalg::Qdwh;
use spectra_core::rules::Composed;
use spectra_core::scales::StepScale;
use spectra_core::state::MOMENTUM;

use super::Run;
use crate::golden::Golden;
use crate::suite::{Judge, Outcome, Subject};

/// Eight steps of PolarGrad by QDWH: by the program's default of two steps, which do not arrive, and by as many as it takes.
///
/// Finds: another bound of the norm, another start of l, a step that is no Halley step, the missing cubic step at the end.
pub fn golden_qdwh<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for name in ["peer_polargrad_default", "peer_polargrad_qdwh"] {
        let case = &Golden::load(name)?;
        case.hyper_must_be("method", "qdwh")?;
        case.hyper_must_be("polar_first", false)?;
        let direction = Momentum { mu: case.hyper_number("momentum")?, nesterov: false, averaged: true };
        let map = Qdwh { max_steps: case.hyper_count("inner_steps")?, ..Qdwh::F64 };
        let rule = Composed::new(direction, map, StepScale::InnerProduct)
            .weight_decay(case.hyper_number("weight_decay")?);
        let (lr, buffers) = (case.hyper_number("lr")?, [("M", MOMENTUM)]);
        Run { judge: &mut judge, subject, case, lr, buffers: &buffers }.compare(&rule, |_, _, _| Ok(()))?;
    }
    judge.finish()
}
