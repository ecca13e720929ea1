//! The runs of Dion2 and Dion3.

use spectra_core::backend::Backend;
use spectra_core::linalg::{Normalization, Polar, Steps};
use spectra_core::maps::{Guard, SecondMoment};
use spectra_core::rules::{Dion2, SliceAxis};
use spectra_core::scales::StepScale;
use spectra_core::state::{MOMENTUM, SECOND_MOMENT};

use super::Run;
use crate::golden::{Golden, names};
use crate::suite::{Failure, Judge, Outcome, Subject};

/// Eight steps of Dion2 with a quarter and half of the slices, and of Dion3: weights, momentum and second moment.
///
/// Finds: slices chosen by another norm, damped before they are copied, a scale of the slices' shape, decay of the selected weights only,
/// a second moment that forgets what was not selected.
pub fn golden_dion2<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for name in ["peer_dion2_", "peer_dion3_"].map(names).into_iter().collect::<Result<Vec<_>, _>>()?.concat()
    {
        let case = &Golden::load(&name)?;
        let is_third = name.starts_with("peer_dion3_");
        // The program's digits, which the schedule finds by itself.
        let coefficients = case.hyper_rows("pe_coeffs")?;
        let eps = case.hyper_number("epsilon")?;
        if !is_third {
            case.hyper_must_be("pe_safety", 1.02)?;
        }
        let rule = Dion2 {
            fraction: case.hyper_number("fraction")?,
            decay: case.hyper_number(if is_third { "mu" } else { "ef_decay" })?,
            axis: if is_third { SliceAxis::Rows } else { SliceAxis::Short },
            polar: Polar {
                steps: Steps::Fixed(coefficients.len()),
                normalization: Normalization::Added { factor: 1.02, eps },
                ..Polar::POLAR_EXPRESS
            },
            norm: match is_third {
                true => Some(SecondMoment {
                    beta2: case.hyper_number("muon_beta2")?,
                    guard: Guard::Added { eps: case.hyper_number("eps_row")? },
                    ..SecondMoment::NORMUON_DION
                }),
                false => None,
            },
            scale: match case.hyper_text("adjust_lr")? {
                "spectral_norm" => StepScale::RATIO,
                "rms_norm" => StepScale::MaxDimension { factor: 0.2 },
                other => return Err(Failure::Suite { reason: format!("{name}: no scale {other}") }),
            },
            weight_decay: case.hyper_number("weight_decay")?,
        };
        for selected in case.outputs().names().filter(|name| name.starts_with("sel")) {
            case.unused(&format!("outputs.{selected}"), "momentum and weights differ in what was selected")?;
        }
        let (lr, buffers) = (case.hyper_number("lr")?, [("M", MOMENTUM), ("V", SECOND_MOMENT)]);
        Run { judge: &mut judge, subject, case, lr, buffers: &buffers }.compare(&rule, |_, _, _| Ok(()))?;
    }
    judge.finish()
}
