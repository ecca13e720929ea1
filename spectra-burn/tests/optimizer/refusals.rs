//! What is refused leaves everything as it was; a user's handles never change.

use crate::common::{Tiny, bits, gradients, random, values};
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{DType, Device, Tensor};
use spectra_burn::SpectralConfig;
use spectra_core::backend::ErrorKind;

fn config() -> SpectralConfig {
    SpectralConfig::preset("spectra").unwrap()
}

fn with_nan(module: &Tiny) -> GradientsParams {
    let mut gradients = gradients(module, 5);
    let bad = Tensor::full([24], f32::NAN, (&Device::flex(), DType::F32));
    gradients.register::<1>(module.norm.gamma.id, bad);
    gradients
}

#[test]
fn a_nan_gradient_names_its_parameter_and_changes_nothing() {
    let model = Tiny::new(24, 1);
    let mut optimizer = config().init_for(&model).unwrap();
    let first = gradients(&model, 0);
    let model = optimizer.step(0.01, model, first).unwrap();
    let (weights, state) = (bits(&model), optimizer.to_bytes().unwrap().to_vec());

    let bad = with_nan(&model);
    let refused = optimizer.step(0.01, model, bad).unwrap_err();
    assert!(matches!(refused.error.kind(), ErrorKind::NonFinite { .. }));
    assert_eq!(refused.error.parameter(), Some("norm.gamma"));
    assert_eq!(bits(&refused.module), weights);
    assert_eq!(optimizer.to_bytes().unwrap().to_vec(), state);
    let good = gradients(&refused.module, 6);
    assert!(optimizer.step(0.01, refused.module, good).is_ok());
}

#[test]
fn under_burns_own_type_the_refusal_is_kept() {
    let spectral = config().build().unwrap();
    let mut optimizer = ModuleOptimizer::from(spectral.clone());
    let model = Tiny::new(24, 1);
    let before = bits(&model);
    let bad = with_nan(&model);
    let gamma = model.norm.gamma.val();
    let model = optimizer.step(0.01, model, bad);
    assert!(matches!(spectral.take_refusal().unwrap().kind(), ErrorKind::NonFinite { .. }));
    assert!(spectral.take_refusal().is_none());
    assert_eq!(values(model.norm.gamma.val()), values(gamma));
    assert_ne!(bits(&model), before, "the other parameters moved");
}

#[test]
fn unreasonable_learning_rates_and_settings_are_refused() {
    let model = Tiny::new(24, 1);
    let mut optimizer = config().init_for(&model).unwrap();
    for lr in [-1.0, f64::NAN, f64::INFINITY] {
        let gradients = gradients(&model, 0);
        assert!(optimizer.step(lr, model.clone(), gradients).is_err());
    }
    assert!(config().with_weight_decay(-1.0).build().is_err());
    assert!(config().with_elementwise_lr_ratio(f64::NAN).build().is_err());
    assert!(config().with_clip_norm(Some(1.0)).init().is_err());
    assert!(SpectralConfig::preset("spectre").is_err());
}

#[test]
fn handles_of_the_user_keep_their_values() {
    let model = Tiny::new(24, 1);
    let before = bits(&model);
    let kept = model.clone();
    let mut optimizer = config().init_for(&model).unwrap();
    let mut model = model;
    for step in 0..3 {
        let gradients = gradients(&model, step);
        let state = optimizer.clone();
        let saved = state.to_bytes().unwrap().to_vec();
        model = optimizer.step(0.01, model, gradients).unwrap();
        assert_eq!(state.to_bytes().unwrap().to_vec().len(), saved.len());
        assert_eq!(state.to_bytes().unwrap().to_vec(), saved, "a clone of the optimizer");
    }
    assert_eq!(bits(&kept), before);
    assert_ne!(bits(&model), before);
}

#[test]
fn a_gradient_of_another_shape_is_refused() {
    let model = Tiny::new(24, 1);
    let mut optimizer = config().init_for(&model).unwrap();
    let mut gradients = GradientsParams::new();
    gradients.register::<2>(model.up.weight.id, random([24, 8], 1, DType::F32));
    let refused = optimizer.step(0.01, model, gradients).unwrap_err();
    assert!(matches!(refused.error.kind(), ErrorKind::Shape { .. }));
    assert_eq!(refused.error.parameter(), Some("up.weight"));
    assert_eq!(refused.module.num_params(), 11 * 8 + 8 * 24 + 24 + 24 + 24 * 8);
}

#[test]
fn a_module_without_autodiff_is_refused() {
    // Burn's own step panics.
    let model = burn::nn::LinearConfig::new(8, 4).init(&Device::flex());
    let mut optimizer = config().init_for(&model).unwrap();
    let drawn = gradients(&model, 0);
    let refused = optimizer.step(0.01, model, drawn).unwrap_err();
    assert!(matches!(refused.error.kind(), ErrorKind::Unsupported { .. }));
    assert_eq!(refused.error.parameter(), Some("weight"));
}

#[test]
fn a_parameter_that_the_module_has_twice_is_refused() {
    let mut model = Tiny::new(24, 1);
    model.down = model.up.clone();
    let error = config().init_for(&model).unwrap_err();
    assert!(error.to_string().contains("down.weight"), "{error}");
}

#[test]
fn gradients_of_unknown_parameters_and_bad_factors_are_refused() {
    let model = Tiny::new(24, 1);
    let mut optimizer = config().init_for(&model).unwrap();
    for factor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(optimizer.set_clip_factor(factor).is_err());
        assert!(optimizer.set_pre_clip_factor(factor).is_err());
    }
    let other = Tiny::new(24, 1);
    let drawn = gradients(&other, 0);
    let refused = optimizer.step(0.01, other, drawn).unwrap_err();
    assert!(matches!(refused.error.kind(), ErrorKind::Name { .. }));
}
