//! State files: damage is refused, files of version 0.1 are read, settings come from here.

use crate::common::{Tiny, bits, distance, gradients, largest, values};
use burn::tensor::{Bytes, DType, Device, Tensor};
use spectra_burn::{Hybrid, SpectralConfig};
use spectra_core::backend::ErrorKind;
use spectra_core::optimizer::plan::{Plan, Rule};
use spectra_core::state::{MOMENTUM, SECOND_MOMENT};

/// As version 0.1 saved the states in `data`: two steps of this.
fn hybrid(module: &Tiny) -> Hybrid {
    let config = SpectralConfig::preset("spectra").unwrap().with_weight_decay(0.1);
    Hybrid::new(&config, module, &Plan::builder().rule("down.weight", Rule::Frozen)).unwrap()
}

fn train(optimizer: &mut Hybrid, mut module: Tiny, steps: std::ops::Range<u64>) -> Tiny {
    for at in steps {
        let gradients = gradients(&module, at);
        module = optimizer.step(0.01, module, gradients).unwrap();
    }
    module
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let module = Tiny::new(8, 1);
    let mut optimizer = hybrid(&module);
    let module = train(&mut optimizer, module, 0..2);
    let saved = optimizer.to_bytes().unwrap().to_vec();
    for at in 0..saved.len() {
        let mut damaged = saved.clone();
        damaged[at] ^= 1 << (at % 8);
        let refused = optimizer.load_bytes(Bytes::from_bytes_vec(damaged)).is_err();
        assert!(refused, "byte {at} of {}", saved.len());
    }
    for cut in 1..20 {
        let bytes = Bytes::from_bytes_vec(saved[..saved.len() - cut].to_vec());
        assert!(optimizer.load_bytes(bytes).is_err(), "{cut} bytes missing");
    }
    // Nothing of that has changed anything.
    assert_eq!(optimizer.to_bytes().unwrap().to_vec(), saved);
    let _ = train(&mut optimizer, module, 2..3);
}

#[test]
fn files_of_version_0_1_are_read() {
    let module = Tiny::new(24, 1);
    let mut optimizer = hybrid(&module);
    let module = train(&mut optimizer, module, 0..2);
    // `Hybrid::save`, and `save` of burn's own type.
    for name in ["state-0.1.bpk", "burns-0.1.bpk"] {
        let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut old = hybrid(&module);
        let restored = old.load(&path).unwrap();
        assert_eq!((restored.steps, old.steps()), (2, 2), "{name}");
        for (parameter, buffer_name) in [("up.weight", MOMENTUM), ("embedding.weight", SECOND_MOMENT)] {
            let buffer =
                |optimizer: &Hybrid| values(optimizer.buffer(parameter, buffer_name).unwrap().unwrap());
            let (found, expected) = (buffer(&old), buffer(&optimizer));
            // A sum of two terms, each rounded a few times on a machine that may fuse or not.
            let tolerance = 8.0 * f64::from(f32::EPSILON) * largest(&expected);
            assert!(distance(&found, &expected) <= tolerance, "{name}, {parameter}");
        }
        assert!(old.buffer("down.weight", MOMENTUM).unwrap().is_none(), "{name}: frozen");
        let trained = train(&mut old, module.clone(), 2..4);
        assert_ne!(bits(&trained), bits(&module));
        assert_eq!(old.load_bytes(old.to_bytes().unwrap()).unwrap().steps, 4, "{name}: saved anew");
    }
}

#[test]
fn settings_are_those_set_here_and_what_differed_is_told() {
    let new = |module: &Tiny, decay, clip, ratio| {
        let config = SpectralConfig::preset("spectra-adamw").unwrap();
        let config = config.with_weight_decay(decay).with_clip_norm(clip).with_elementwise_lr_ratio(ratio);
        config.init_for(module).unwrap()
    };
    let start = Tiny::new(24, 1);
    let mut first = new(&start, 0.1, Some(1.0), 0.5);
    first.set_clip_factor(0.25).unwrap();
    first.set_pre_clip_factor(0.5).unwrap();
    let module = train(&mut first, start, 0..3);
    let saved = first.to_bytes().unwrap();

    let mut same = new(&module, 0.1, Some(1.0), 0.5);
    let restored = same.load_bytes(saved.clone()).unwrap();
    assert_eq!(restored.differences, []);
    assert_eq!((restored.steps, restored.clip_factor, restored.pre_clip_factor), (3, 0.25, 0.5));
    let trained = train(&mut first, module.clone(), 3..5);
    assert_eq!(bits(&train(&mut same, module.clone(), 3..5)), bits(&trained));

    let mut other = new(&module, 0.2, None, 2.0);
    other.set_clip_factor(0.75).unwrap();
    let restored = other.load_bytes(saved).unwrap();
    assert_eq!((restored.clip_factor, restored.pre_clip_factor), (0.75, 0.5), "set here; saved");
    let mut told: Vec<_> = restored.differences.iter().map(|difference| &*difference.setting).collect();
    told.sort_unstable();
    let expected = ["clip_norm", "elementwise.weight_decay", "elementwise_lr_ratio", "spectral.weight_decay"];
    assert_eq!(told, expected);
    assert_ne!(bits(&train(&mut other, module, 3..5)), bits(&trained));
}

#[test]
fn a_state_that_could_not_be_loaded_is_not_saved() {
    let module = Tiny::new(24, 1);
    let mut optimizer =
        SpectralConfig::preset("adamw").unwrap().with_check_finite(false).init_for(&module).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let module = train(&mut optimizer, module, 0..1);
    optimizer.save(&path).unwrap();
    let good = std::fs::read(folder.path().join("state.bpk")).unwrap();

    let mut bad = gradients(&module, 1);
    bad.register::<1>(module.norm.gamma.id, Tensor::full([24], f32::NAN, (&Device::flex(), DType::F32)));
    let _ = optimizer.step(0.01, module, bad).unwrap();
    let error = optimizer.save(&path).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NonFinite { .. }), "{error}");
    assert_eq!(error.parameter(), Some("norm.gamma"));
    assert_eq!(std::fs::read(folder.path().join("state.bpk")).unwrap(), good, "the old file stays");
}
