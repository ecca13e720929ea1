//! The baselines' and the wrapper's own programs, reproduced by the recipes on both CPU backends.

use std::error::Error;

use spectra_conformance::golden::{names, replay_baseline, replay_wrapper};
use spectra_core::dense::Dense;
use spectra_core::faer::Faer;

/// Every case must be within its tolerance, and there must be so many.
fn check(prefixes: &[&str], count: usize, errors: impl Fn(&str) -> Result<[f64; 2], Box<dyn Error>>) {
    let names: Vec<String> = prefixes.iter().flat_map(|prefix| names(prefix).expect("golden data")).collect();
    assert_eq!(names.len(), count);
    for name in names {
        for error in errors(&name).unwrap_or_else(|error| panic!("{name}: {error}")) {
            assert!(error <= 1.0, "{name}: {error} tolerances");
        }
    }
}

#[test]
fn baselines() {
    let prefixes =
        ["baseline_adamw", "baseline_ademamix", "baseline_signum_", "baseline_mars_adamw", "baseline_muon_"];
    check(&prefixes, 11, |name| {
        Ok([replay_baseline(&Dense::new(), name)?, replay_baseline(&Faer::new(), name)?])
    });
}

#[test]
fn spectra_wrapper() {
    check(&["spectra_wrapper_"], 16, |name| {
        Ok([replay_wrapper(&Dense::new(), name)?, replay_wrapper(&Faer::new(), name)?])
    });
}
