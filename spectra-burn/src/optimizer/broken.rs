//! A step that breaks off in the middle of the model: what no gradient or setting can bring about, so a rule that fails.

use super::hybrid::Hybrid;
use super::{Spectral, SpectralConfig};
use burn::module::{Module, ParamGroup};
use burn::nn::{Linear, LinearConfig};
use burn::optim::{GradientsParams, LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};
use spectra_core::backend::{Error, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[derive(Module, Debug)]
struct Model {
    first: Linear,
    second: Linear,
    third: Linear,
}

impl Model {
    fn new() -> Self {
        let layer = || LinearConfig::new(6, 4).with_bias(false).init(&Device::flex().autodiff());
        Self { first: layer(), second: layer(), third: layer() }
    }

    fn gradients(&self) -> GradientsParams {
        let mut gradients = GradientsParams::new();
        for layer in [&self.first, &self.second, &self.third] {
            gradients.register(layer.weight.id, layer.weight.val().inner() + 1.0);
        }
        gradients
    }

    fn values(&self) -> [Vec<f32>; 3] {
        let values = |layer: &Linear| layer.weight.val().inner().try_into_vec_as().unwrap();
        [&self.first, &self.second, &self.third].map(values)
    }
}

/// Fails as a device may: with an error, or with a panic of burn's.
#[derive(Clone)]
struct Failing {
    rule: Spectral,
    panics: bool,
}

impl Optimizer for Failing {
    type State<const D: usize> = <Spectral as Optimizer>::State<D>;

    fn step<const D: usize>(
        &self,
        _: LearningRate,
        tensor: Tensor<D>,
        _: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        assert!(!self.panics, "out of memory");
        self.rule.shared().fail(Error::device("step", "out of memory").for_parameter("second.weight"));
        (tensor, state)
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        Spectral::to_device(state, device)
    }
}

/// An optimizer after a step of `model`, its state then, and the same whose second parameter fails.
fn failing(panics: bool) -> (Model, burn::tensor::Bytes, Hybrid) {
    let model = Model::new();
    let mut hybrid = SpectralConfig::preset("spectra").unwrap().init_for(&model).unwrap();
    let gradients = model.gradients();
    let model = hybrid.step(0.01, model, gradients).unwrap();
    let saved = hybrid.to_bytes().unwrap();
    let rule = Failing { rule: hybrid.spectral.clone(), panics };
    hybrid.optimizer =
        hybrid.optimizer.clone().with_group(ParamGroup::from_path("second.weight"), rule, None);
    (model, saved, hybrid)
}

/// Everything is refused by the parameter's name until a state is loaded.
fn check_refusals(hybrid: &mut Hybrid, model: Model, saved: burn::tensor::Bytes, name: Option<&str>) {
    let before = model.values();
    let gradients = model.gradients();
    let refused = hybrid.step(0.01, model, gradients).unwrap_err();
    assert_eq!(refused.module.values(), before);
    for error in [refused.error, hybrid.to_bytes().unwrap_err(), hybrid.optimizer().err().unwrap()] {
        assert!(matches!(error.kind(), ErrorKind::NeedsRestore), "{error}");
        assert_eq!(error.parameter(), name);
    }
    assert_eq!(hybrid.load_bytes(saved).unwrap().steps, 1);
    assert_eq!(hybrid.steps(), 1);
    assert!(hybrid.to_bytes().is_ok());
}

#[test]
fn an_error_in_the_middle_of_a_step_needs_a_restore() {
    let (model, saved, mut hybrid) = failing(false);
    let [first, second, third] = model.values();
    let gradients = model.gradients();
    let refused = hybrid.step(0.01, model, gradients).unwrap_err();
    assert_eq!(refused.error.parameter(), Some("second.weight"));
    let after = refused.module.values();
    assert_ne!(after[0], first, "it came before");
    assert_eq!(after[1..], [second, third], "nothing moves after the error");
    assert_eq!(hybrid.steps(), 1);
    check_refusals(&mut hybrid, refused.module, saved, Some("second.weight"));
}

#[test]
fn a_panic_of_burns_in_the_middle_of_a_step_needs_a_restore() {
    let (model, saved, mut hybrid) = failing(true);
    let (kept, gradients) = (model.clone(), model.gradients());
    catch_unwind(AssertUnwindSafe(|| hybrid.step(0.01, model, gradients))).unwrap_err();
    check_refusals(&mut hybrid, kept, saved, None);
}
