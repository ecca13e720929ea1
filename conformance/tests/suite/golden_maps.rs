//! The spectral maps reproduce the papers' programs and the exact results on both CPU backends.

use spectra_conformance::golden::{names, replay_maps};
use spectra_core::dense::Dense;
use spectra_core::faer::Faer;

#[test]
fn soft_clip_polar_hard_clip_and_vectors() {
    let mut cases = 0;
    for prefix in ["soft_clip_", "spectral_ops_", "vector_clip"] {
        for name in names(prefix).expect("golden data") {
            for (error, output) in [
                replay_maps(&Dense::<f64>::new(), &name).expect("dense f64"),
                replay_maps(&Faer::<f64>::new(), &name).expect("faer f64"),
                replay_maps(&Dense::<f32>::new(), &name).expect("dense f32"),
                replay_maps(&Faer::<f32>::new(), &name).expect("faer f32"),
            ] {
                assert!(error <= 1.0, "{name}, {output}: {error} tolerances");
            }
            cases += 1;
        }
    }
    assert_eq!(cases, 13);
}
