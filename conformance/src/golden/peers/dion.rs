//! Dion's runs.

use spectra_core::backend::Backend;
use spectra_core::rules::{Dion, DionQr, DionRank, DionSide};
use spectra_core::state::SUBSPACE;

use super::Run;
use crate::golden::{Golden, names};
use crate::suite::{Judge, Outcome, Subject};

/// Ten steps of Dion as its authors' `dion_simple.py` and the transposed form of their `dion_reference.py` have them, from a given Q, by
/// both ways of orthonormalising.
///
/// Finds: the momentum damped as a whole, Q not normalised, a scale that does not shrink wide matrices, a side mistaken.
pub fn golden_dion<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for name in names("baseline_dion_")? {
        for qr in [DionQr::Cholesky, DionQr::GramSchmidt] {
            let case = &Golden::load(&name)?;
            let transposed = name.ends_with("_transposed");
            if transposed {
                case.hyper_must_be("transposed", true)?;
            }
            case.hyper_must_be("scale", "sqrt(rows/cols), not clamped")?;
            let rule = Dion {
                mu: case.hyper_number("mu")?,
                rank: DionRank::Columns(case.hyper_count("rank")?),
                side: if transposed { DionSide::Left } else { DionSide::Right },
                qr,
                eps: case.hyper_number("epsilon")?,
                weight_decay: case.hyper_number("weight_decay")?,
                ..Dion::SIMPLE
            };
            let lr = case.hyper_number("lr")?;
            Run { judge: &mut judge, subject, case, lr, buffers: &[] }.compare(&rule, |j, t, state| {
                if t == 1 {
                    state.put(SUBSPACE, subject.upload(&case.inputs().matrix(&format!("Q{j}_0"))?)?);
                }
                Ok(())
            })?;
        }
    }
    judge.finish()
}
