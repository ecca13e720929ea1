//! State through burn's records: continues with the same bits, refuses what does not fit.

use crate::common::{Tiny, bits, gradients};
use burn::module::Module;
use burn::optim::AdamWConfig;
use spectra_burn::{Hybrid, SpectralConfig};
use spectra_core::backend::ErrorKind;
use spectra_core::optimizer::Method;

fn config(preset: &str) -> SpectralConfig {
    SpectralConfig::preset(preset).unwrap().with_clip_norm(Some(1.0)).with_weight_decay(0.1)
}

fn train<M: Module>(optimizer: &mut Hybrid, mut module: M, steps: std::ops::Range<u64>) -> M {
    for step in steps {
        let gradients = gradients(&module, step);
        module = optimizer.step(0.01, module, gradients).unwrap();
    }
    module
}

#[test]
fn every_preset_resumes_with_the_same_bits() {
    for (preset, ..) in Method::presets() {
        let mut model = Tiny::new(24, 1);
        let mut optimizer = config(preset).init_for(&model).unwrap();
        model = train(&mut optimizer, model, 0..3);
        let saved = optimizer.to_bytes().unwrap();
        let at_three = bits(&model);

        // A module made anew, with other parameter ids.
        let mut again = Tiny::new(24, 9);
        again = copy(again, &model);
        assert_eq!(bits(&again), at_three);
        let mut resumed = config(preset).init_for(&again).unwrap();
        resumed.load_bytes(saved).unwrap();

        model = train(&mut optimizer, model, 3..6);
        again = train(&mut resumed, again, 3..6);
        assert_ne!(bits(&model), at_three);
        assert_eq!(bits(&model), bits(&again), "{preset}");
    }
}

#[test]
fn files_and_burns_own_record_resume_too() {
    // Burn's own type has no norm over the whole model.
    let config = |preset| config(preset).with_clip_norm(None);
    let folder = tempfile::tempdir().unwrap();
    let mut model = Tiny::new(24, 1);
    let mut optimizer = config("spectra").init_for(&model).unwrap();
    model = train(&mut optimizer, model, 0..3);
    let (ours, burns) = (folder.path().join("ours.bpk"), folder.path().join("burns.bpk"));
    optimizer.save(&ours).unwrap();
    optimizer.optimizer().unwrap().save(&burns).unwrap();
    let expected = bits(&train(&mut optimizer, model.clone(), 3..5));
    for path in [&ours, &burns] {
        let mut resumed = config("spectra").init_for(&model).unwrap();
        resumed.load(path).unwrap();
        assert_eq!(bits(&train(&mut resumed, model.clone(), 3..5)), expected);
    }
    // And burn's own type loads ours.
    let mut burns = config("spectra").init_for(&model).unwrap().optimizer().unwrap();
    burns = burns.load(&ours).unwrap();
    assert_eq!(burns.to_record().len(), optimizer.optimizer().unwrap().to_record().len());
}

#[test]
fn another_optimizer_shape_or_model_is_refused_by_name() {
    let model = Tiny::new(24, 1);
    let mut optimizer = config("spectra").init_for(&model).unwrap();
    let model = train(&mut optimizer, model, 0..2);
    let saved = optimizer.to_bytes().unwrap();
    let before = bits(&train(&mut optimizer.clone(), model.clone(), 2..3));

    let refuse = |mut other: Hybrid, bytes: burn::tensor::Bytes| {
        let error = other.load_bytes(bytes).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::State { .. }), "{error}");
        error.parameter().map(str::to_owned)
    };
    let other_rule = config("spectra-adamw").init_for(&model).unwrap();
    assert_eq!(refuse(other_rule, saved.clone()).as_deref(), Some("up.weight"));
    let other_shape = config("spectra").init_for(&Tiny::new(16, 1)).unwrap();
    assert_eq!(refuse(other_shape, saved.clone()).as_deref(), Some("up.weight"));
    let smaller_model = config("spectra").init_for(&model.up).unwrap();
    assert_eq!(refuse(smaller_model, saved.clone()).as_deref(), Some("weight"));
    // Burn's AdamW has a state of its own form.
    let mut adamw = AdamWConfig::new().init();
    let grads = gradients(&model, 3);
    let _ = adamw.step(0.01, model.clone(), grads);
    let foreign = adamw.into_bytes().unwrap();
    assert!(refuse(config("adamw").init_for(&model).unwrap(), foreign).is_some());

    // A refused load has changed nothing.
    let mut optimizer = optimizer;
    let another = config("adamw").init_for(&model).unwrap();
    let mut another_trained = another.clone();
    let _ = train(&mut another_trained, model.clone(), 0..1);
    assert!(optimizer.load_bytes(another_trained.to_bytes().unwrap()).is_err());
    assert_eq!(bits(&train(&mut optimizer, model, 2..3)), before);
}

#[test]
fn damaged_records_are_refused() {
    let model = Tiny::new(24, 1);
    let mut optimizer = config("spectra").init_for(&model).unwrap();
    let _ = train(&mut optimizer, model, 0..2);
    let saved = optimizer.to_bytes().unwrap().to_vec();
    for len in [0, 10, saved.len() / 2] {
        let bytes = burn::tensor::Bytes::from_bytes_vec(saved[..len].to_vec());
        assert!(optimizer.load_bytes(bytes).is_err(), "{len} of {} bytes", saved.len());
    }
}

/// `to` with the values of `from`.
fn copy(to: Tiny, from: &Tiny) -> Tiny {
    let mut to = to;
    to.embedding.weight = to.embedding.weight.map(|_| from.embedding.weight.val());
    to.up.weight = to.up.weight.map(|_| from.up.weight.val());
    to.up.bias = to.up.bias.map(|bias| bias.map(|_| from.up.bias.as_ref().unwrap().val()));
    to.norm.gamma = to.norm.gamma.map(|_| from.norm.gamma.val());
    to.down.weight = to.down.weight.map(|_| from.down.weight.val());
    to
}
