//! What is refused leaves everything as it was; a user's handles never change.

use crate::common::{Tiny, bits, gradients, random, values};
use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor};
use spectra_burn::directions::Direction;
use spectra_burn::maps::SpectralMap;
use spectra_burn::plan::{Plan, Rule};
use spectra_burn::{ErrorKind, Hybrid, Settings, SpectralConfig};

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

#[test]
fn a_step_without_any_gradient_is_refused_and_missing_ones_are_told() {
    let model = Tiny::new(24, 1);
    let mut optimizer = config().init_for(&model).unwrap();
    let refused = optimizer.step(0.01, model, GradientsParams::new()).unwrap_err();
    assert!(matches!(refused.error.kind(), ErrorKind::MissingGradient { .. }), "{}", refused.error);
    assert_eq!(refused.error.parameter(), None);
    assert_eq!(optimizer.steps(), 0);

    let only_up = |model: &Tiny| {
        let mut gradients = GradientsParams::new();
        gradients.register::<2>(model.up.weight.id, random([8, 24], 1, DType::F32));
        gradients
    };
    let others = ["embedding.weight", "up.bias", "norm.gamma", "down.weight"];
    let drawn = only_up(&refused.module);
    let model = optimizer.step(0.01, refused.module, drawn).unwrap();
    assert_eq!(optimizer.missing_gradients().collect::<Vec<_>>(), others);

    let before = bits(&model);
    let mut strict = config().with_require_gradients(Some(true)).init_for(&model).unwrap();
    let drawn = only_up(&model);
    let refused = strict.step(0.01, model, drawn).unwrap_err();
    assert!(matches!(refused.error.kind(), ErrorKind::MissingGradient { .. }), "{}", refused.error);
    assert_eq!(refused.error.parameter(), Some(others[0]));
    assert_eq!(bits(&refused.module), before);

    // What burn has frozen needs none; a gradient of another module is no gradient of this one.
    let mut model = refused.module;
    model.embedding = model.embedding.freeze();
    model.norm = model.norm.freeze();
    model.down = model.down.freeze();
    model.up.bias = None;
    let mut strict = config().with_require_gradients(Some(true)).init_for(&model).unwrap();
    let drawn = only_up(&model);
    let model = strict.step(0.01, model, drawn).unwrap();
    let drawn = gradients(&Tiny::new(24, 1), 0);
    assert!(strict.step(0.01, model, drawn).is_err());
}

#[test]
fn a_module_without_parameters_to_step_is_refused() {
    #[derive(Module, Debug)]
    struct Nothing {
        rate: f64,
    }
    let error = config().init_for(&Nothing { rate: 0.5 }).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Argument { name: "parameters", .. }), "{error}");
    let frozen = Plan::builder().rule("*", Rule::Frozen);
    assert!(Hybrid::new(&config(), &Tiny::new(24, 1), &frozen).is_err());
}

#[test]
fn gradients_and_weights_of_another_type_are_refused_before_anything_changes() {
    // Without the finite check nothing else looks at the gradients before the step.
    let model = Tiny::new(24, 1);
    let mut optimizer = config().with_check_finite(false).init_for(&model).unwrap();
    let (weights, state) = (bits(&model), optimizer.to_bytes().unwrap().to_vec());
    let mut drawn = gradients(&model, 0);
    drawn.register::<1>(model.norm.gamma.id, random([24], 3, DType::F64));
    let refused = optimizer.step(0.01, model, drawn).unwrap_err();
    assert_eq!(refused.error.parameter(), Some("norm.gamma"));
    assert_eq!(bits(&refused.module), weights);
    assert_eq!(optimizer.to_bytes().unwrap().to_vec(), state);

    let mut model = refused.module;
    let wide = |tensor: Tensor<1>| tensor.inner().cast(DType::F64).autodiff().require_grad();
    model.norm.gamma = Param::initialized(model.norm.gamma.id, wide(model.norm.gamma.val()));
    let drawn = gradients(&model, 0);
    let refused = optimizer.step(0.01, model, drawn).unwrap_err();
    assert_eq!(refused.error.parameter(), Some("norm.gamma"));
    assert_eq!(bits(&refused.module), weights);
}

#[test]
fn without_the_check_a_nan_is_what_the_user_asked_for_and_counts() {
    for preset in ["spectra", "spectra-adamw", "muon", "adamw"] {
        let model = Tiny::new(24, 1);
        let config = SpectralConfig::preset(preset).unwrap().with_check_finite(false);
        let mut optimizer = config.init_for(&model).unwrap();
        let mut drawn = gradients(&model, 0);
        drawn.register::<2>(model.up.weight.id, random([8, 24], 1, DType::F32) * f32::NAN);
        let model = optimizer.step(0.01, model, drawn).unwrap();
        assert!(values(model.up.weight.val()).iter().all(|x| x.is_nan()), "{preset}");
        assert!(values(model.down.weight.val()).iter().all(|x| x.is_finite()), "{preset}");
        let drawn = gradients(&model, 1);
        assert!(optimizer.step(0.01, model, drawn).is_ok(), "{preset}");
        assert_eq!(optimizer.steps(), 2, "{preset}");
    }
}

#[test]
fn every_setting_is_reached_and_one_that_no_rule_has_is_refused() {
    let set = |preset: &str, f: fn(Settings) -> Settings| SpectralConfig::preset(preset)?.with_settings(f);
    let config = set("spectra", |settings| settings.rank_ratio(0.1).beta2(0.9).weight_decay(2.0)).unwrap();
    let Direction::Adam(adam) = config.elementwise_method().recipe().unwrap().direction else {
        panic!("AdamW's")
    };
    let SpectralMap::TailShrink(map) = config.spectral.recipe().unwrap().map else { panic!("tail shrink") };
    assert_eq!((adam.beta2, map.rank_ratio, config.spectral.weight_decay()), (0.9, 0.1, 2.0));
    let error = set("muon", |settings| settings.rank_ratio(0.1)).unwrap_err();
    assert!(error.to_string().contains("rank_ratio"), "{error}");
    assert!(set("spectra", |settings| settings.lr(0.1)).unwrap_err().to_string().contains("lr"));
    assert!(set("spectra", |settings| settings.beta2(1.5)).is_err());
    assert!(SpectralConfig::try_from(Settings::preset("muon").unwrap().rank_ratio(0.1)).is_err());
    let config = SpectralConfig::try_from(Settings::preset("muon").unwrap().lr(0.02).elementwise_lr(0.004));
    assert_eq!(config.unwrap().elementwise_lr_ratio, 0.2);
}
