//! Golden runs of the papers' and the baselines' programs, replayed on the device.

use crate::device::{Outcome, backend, check_violations};
use spectra_conformance::golden::{names, replay_baseline, replay_frank_wolfe, replay_maps, replay_wrapper};
use std::error::Error;

/// Every case of these prefixes within its tolerance, and so many of them.
fn replay(
    prefixes: &[&str],
    count: usize,
    errors: impl Fn(&str) -> Result<Vec<f64>, Box<dyn Error>>,
) -> Outcome {
    let mut cases = 0;
    for prefix in prefixes {
        for name in names(prefix)? {
            for error in errors(&name)? {
                if error.is_nan() || error > 1.0 {
                    return Err(format!("{name}: {error} tolerances").into());
                }
            }
            cases += 1;
        }
    }
    if cases != count {
        return Err(format!("{cases} cases, not {count}").into());
    }
    check_violations()
}

pub(crate) fn baselines() -> Outcome {
    let prefixes =
        ["baseline_adamw", "baseline_ademamix", "baseline_signum_", "baseline_mars_adamw", "baseline_muon_"];
    let backend = backend::<f64>()?;
    replay(&prefixes, 11, |name| Ok(vec![replay_baseline(&backend, name)?]))
}

pub(crate) fn spectra_wrapper() -> Outcome {
    let backend = backend::<f64>()?;
    replay(&["spectra_wrapper_"], 16, |name| Ok(vec![replay_wrapper(&backend, name)?]))
}

pub(crate) fn spectral_maps() -> Outcome {
    let (single, double) = (backend::<f32>()?, backend::<f64>()?);
    replay(&["soft_clip_", "spectral_ops_", "vector_clip"], 13, |name| {
        Ok(vec![replay_maps(&single, name)?.0, replay_maps(&double, name)?.0])
    })
}

pub(crate) fn frank_wolfe() -> Outcome {
    let backend = backend::<f64>()?;
    replay(&["frank_wolfe_"], 4, |name| Ok(vec![replay_frank_wolfe(&backend, name)?]))
}
