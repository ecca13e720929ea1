//! Matrices of one shape that step as one, by the tensor operations of GPUs: the same weights as one by one, and states that go on anywhere.

use crate::common::{distance, gradients, largest, random, values};
use crate::model::LR;
use burn::module::{Module, ModuleMapper, Param};
use burn::nn::{Linear, LinearConfig, RmsNorm, RmsNormConfig};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor};
use spectra_burn::plan::Plan;
use spectra_burn::{Hybrid, Settings, SpectralConfig};
use spectra_core::optimizer::Method;

#[derive(Module, Debug)]
struct Layers {
    layers: Vec<Linear>,
    norm: RmsNorm,
    down: Linear,
}

struct Fill(u64, DType);

impl ModuleMapper for Fill {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.0 += 1;
        let values = random(param.val().dims(), self.0, self.1);
        Param::initialized(param.id, values.autodiff().require_grad())
    }
}

impl Layers {
    fn new(dtype: DType) -> Self {
        let device = Device::flex().autodiff();
        let layer = |_| LinearConfig::new(20, 12).init(&device);
        let model = Self {
            layers: (0..4).map(layer).collect(),
            norm: RmsNormConfig::new(12).init(&device),
            down: LinearConfig::new(12, 20).with_bias(false).init(&device),
        };
        model.map(&mut Fill(3, dtype))
    }

    fn values(&self) -> Vec<f64> {
        let weights = self.layers.iter().map(|layer| values(layer.weight.val()));
        let biases = self.layers.iter().map(|layer| values(layer.bias.as_ref().unwrap().val()));
        let others = [values(self.norm.gamma.val()), values(self.down.weight.val())];
        weights.chain(biases).chain(others).flatten().collect()
    }
}

/// A layer with a rate of its own; all weights are decayed.
fn optimizer(method: Method, model: &Layers) -> Hybrid {
    let settings = Settings::new(method).weight_decay(0.1).clip_norm(1.0);
    let plan = Plan::builder().group("layers.3.weight", |group| group.lr(0.5));
    Hybrid::new(&SpectralConfig::try_from(settings).unwrap(), model, &plan).unwrap()
}

/// In the third step a layer has no gradient: other stacks.
fn step(optimizer: &mut Hybrid, model: Layers, step: u64) -> Layers {
    let mut given = gradients(&model, 10 + step);
    if step == 2 {
        given.remove::<2>(model.layers[1].weight.id);
    }
    optimizer.step(LR, model, given).unwrap()
}

/// The weights after five steps.
fn trained(mut optimizer: Hybrid, start: &Layers) -> (Vec<f64>, Hybrid) {
    let model = (0..5).fold(start.clone(), |model, at| step(&mut optimizer, model, at));
    (model.values(), optimizer)
}

/// With reports a matrix steps alone.
fn alone(mut optimizer: Hybrid) -> Hybrid {
    optimizer.keep_reports(true);
    optimizer
}

#[test]
fn weights_are_those_of_matrices_alone() {
    for dtype in [DType::F64, DType::F32, DType::BF16] {
        let model = Layers::new(dtype);
        let start = model.values();
        for (name, method, _) in Method::presets() {
            let make = || optimizer(method, &model).by_tensor_operations();
            let (together, _) = trained(make(), &model);
            let (one_by_one, _) = trained(alone(make()), &model);
            if name.starts_with("spectra") && !name.ends_with("adamw") {
                // A stack's host learns no condition, so columns are orthonormalised twice instead of once, which changes U by as many
                // roundings as the first time leaves: 8 k eps for k < 3 columns. U goes through one product with M, whose
                // singular values are at most that many times the smallest it divides by, here below 100; weights are rounded once a step.
                let unit = match dtype {
                    DType::F64 => f64::EPSILON,
                    DType::F32 => f64::from(f32::EPSILON),
                    // Another f32 rounded to 8 bits may be the next one.
                    _ => 1.0 / 128.0,
                };
                let moved = distance(&one_by_one, &start);
                let tolerance = 5.0 * unit * (8.0 * 3.0 * 100.0 * moved).min(largest(&one_by_one));
                let tolerance =
                    tolerance.max(5.0 * 8.0 * 3.0 * 100.0 * unit.min(f64::from(f32::EPSILON)) * moved);
                let error = distance(&together, &one_by_one);
                assert!(error <= tolerance, "{name} {dtype:?}: {error:e} exceeds {tolerance:e}");
            } else {
                assert_eq!(together, one_by_one, "{name} {dtype:?}");
            }
            assert_ne!(together, start, "{name}");
        }
    }
}

#[test]
fn states_of_stacks_are_saved_and_go_on_in_memory_and_back() {
    let model = Layers::new(DType::F64);
    for (name, method, _) in Method::presets() {
        let memory = || optimizer(method, &model);
        let (together, saved) = trained(memory().by_tensor_operations(), &model);
        let (in_memory, _) = trained(memory(), &model);
        // Five steps of at most 30 products in a row, each of at most 20 terms; a map multiplies an error by 485 at most (see `model`), and
        // the bound of a small singular value of the second moments by the same again.
        let moved = distance(&in_memory, &model.values());
        let tolerance = 5.0 * 485.0 * 485.0 * 30.0 * 20.0 * f64::EPSILON * moved;
        let error = distance(&together, &in_memory);
        assert!(error <= tolerance, "{name}: {error:e} exceeds {tolerance:e}");

        let bytes = saved.to_bytes().unwrap();
        let mut again = memory().by_tensor_operations();
        again.load_bytes(bytes.clone()).unwrap();
        let mut other = memory();
        other.load_bytes(bytes).unwrap();
        let mut kept = saved;
        let [mut a, mut b, mut c] = [0, 1, 2].map(|_| model.clone());
        for at in 5..8 {
            a = step(&mut kept, a, at);
            b = step(&mut again, b, at);
            c = step(&mut other, c, at);
        }
        assert_eq!(a.values(), b.values(), "{name}");
        let error = distance(&a.values(), &c.values());
        assert!(error <= tolerance, "{name}, in memory: {error:e} exceeds {tolerance:e}");
    }
}

/// A model, and an optimizer that has taken five steps in stacks.
fn begun() -> (Layers, Hybrid) {
    let method = Method::presets().find(|(name, ..)| *name == "muon").unwrap().1;
    let model = Layers::new(DType::F32);
    let (_, optimizer) = trained(optimizer(method, &model).by_tensor_operations(), &model);
    (model, optimizer)
}

#[test]
fn a_clone_goes_its_own_way() {
    let (model, mut first) = begun();
    let mut second = first.clone();
    let a = step(&mut first, model.clone(), 7);
    // It does not see what the first has done to their common stacks.
    let b = step(&mut second, model.clone(), 7);
    assert_eq!(a.values(), b.values());
    assert_ne!(step(&mut first, model.clone(), 7).values(), b.values());
}

#[test]
fn a_gradient_that_is_refused_changes_nothing() {
    let (model, mut optimizer) = begun();
    let before = model.values();
    let mut given: GradientsParams = gradients(&model, 5);
    let id = model.layers[2].weight.id;
    let spoilt = given.remove::<2>(id).unwrap() * f32::NAN;
    given.register::<2>(id, spoilt);
    let refused = optimizer.step(LR, model, given).unwrap_err();
    assert_eq!(refused.error.parameter(), Some("layers.2.weight"));
    assert_eq!(refused.module.values(), before);
    assert_eq!(optimizer.steps(), 5);
}
