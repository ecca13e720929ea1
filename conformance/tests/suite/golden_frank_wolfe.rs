//! The Frank-Wolfe solver reproduces the golden histories on both CPU backends.

use spectra_conformance::golden::{names, replay_frank_wolfe};
use spectra_core::dense::Dense;
use spectra_core::faer::Faer;

#[test]
fn histories() {
    let cases = names("frank_wolfe_").expect("golden data");
    assert_eq!(cases.len(), 4);
    for name in cases {
        for error in [
            replay_frank_wolfe(&Dense::<f64>::new(), &name).expect("dense"),
            replay_frank_wolfe(&Faer::<f64>::new(), &name).expect("faer"),
        ] {
            assert!(error <= 1.0, "{name}: {error} tolerances");
        }
    }
}
