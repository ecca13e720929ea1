//! What the tests of several maps share.

use super::Svd;
use crate::HostMatrix;
use crate::distance::max_error;
use crate::golden::{Golden, names};

/// Holds `map(svd, c)` against the outputs `{output}{c}` of all cases `spectral_ops_*`.
pub(super) fn check_spectral_ops(output: &str, map: impl Fn(&Svd, f64) -> HostMatrix) {
    let names = names("spectral_ops_").unwrap();
    assert!(!names.is_empty());
    for name in names {
        let case = Golden::load(&name).unwrap();
        let svd = Svd::of(&case.inputs().matrix("X").unwrap()).unwrap();
        for c in case.hyper_numbers("c").unwrap() {
            let output = format!("{output}{c}");
            let error = max_error(&map(&svd, c).data, &case.outputs().matrix(&output).unwrap().data);
            assert!(error <= case.tolerance_of(&output).unwrap(), "{name} {output}: {error:e}");
        }
    }
}
