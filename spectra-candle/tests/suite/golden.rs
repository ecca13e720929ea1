//! The spectral maps and the Frank-Wolfe solver reproduce the golden data, on memory and by the tensor operations that
//! GPUs use.

use candle_core::Device;
use spectra_candle::{CandleBackend, CandleElement};
use spectra_conformance::golden::{names, replay_frank_wolfe, replay_maps};

fn both<E: CandleElement>() -> [CandleBackend<E>; 2] {
    [CandleBackend::new(&Device::Cpu), CandleBackend::by_tensor_operations(&Device::Cpu)]
}

fn maps<E: CandleElement>() {
    let mut cases = 0;
    for prefix in ["soft_clip_", "spectral_ops_", "vector_clip"] {
        for name in names(prefix).expect("golden data") {
            for backend in both::<E>() {
                let (error, output) = replay_maps(&backend, &name).expect("a replay");
                assert!(error <= 1.0, "{name}, {output}, {backend:?}: {error} tolerances");
            }
            cases += 1;
        }
    }
    assert_eq!(cases, 13);
}

#[test]
fn maps_in_single_precision() {
    maps::<f32>();
}

#[test]
fn maps_in_double_precision() {
    maps::<f64>();
}

#[test]
fn frank_wolfe() {
    let cases = names("frank_wolfe_").expect("golden data");
    assert_eq!(cases.len(), 4);
    for name in cases {
        for backend in both::<f64>() {
            let error = replay_frank_wolfe(&backend, &name).expect("a replay");
            assert!(error <= 1.0, "{name}, {backend:?}: {error} tolerances");
        }
    }
}
