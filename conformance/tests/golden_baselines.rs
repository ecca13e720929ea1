//! The baselines' own programs, reproduced by the recipes on both CPU backends.

use spectra_conformance::golden::{names, replay_baseline};
use spectra_core::dense::Dense;
use spectra_core::faer::Faer;

#[test]
fn elementwise_baselines() {
    let mut cases = 0;
    for prefix in ["baseline_adamw", "baseline_ademamix", "baseline_signum_", "baseline_mars_adamw"] {
        for name in names(prefix).expect("golden data") {
            for error in [
                replay_baseline(&Dense::new(), &name).expect("dense"),
                replay_baseline(&Faer::new(), &name).expect("faer"),
            ] {
                assert!(error <= 1.0, "{name}: {error} tolerances");
            }
            cases += 1;
        }
    }
    assert_eq!(cases, 8);
}
