//! 16-bit weights that a finite update takes out of their type's range are told of, once and by name, after the step.

use crate::common::{gradient, layer, values};
use crate::learner;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::nn::conv::{ConvTranspose1d, ConvTranspose1dConfig};
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor};
use spectra_burn::maps::SpectralMap;
use spectra_burn::plan::{Plan, Rule};
use spectra_burn::rules::Rounding;
use spectra_burn::{Error, ErrorKind, Hybrid, SpectralConfig};

/// Every way in which a parameter is seen: as it is, as its transpose, as a vector, and as a copy in another order.
#[derive(Module, Debug)]
struct Model {
    embedding: Embedding,
    linear: Linear,
    conv: ConvTranspose1d,
}

const NAMES: [&str; 4] = ["embedding.weight", "linear.weight", "linear.bias", "conv.weight"];

/// Every value of the parameter of this number is `edge`, all others are 0.
fn model(over: usize, edge: f32, dtype: DType) -> Model {
    struct Fill(usize, f32, DType, usize);
    impl ModuleMapper for Fill {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let Self(over, edge, dtype, at) = *self;
            self.3 += 1;
            let value = if at == over { edge } else { 0.0 };
            param.map(|x| Tensor::full(x.dims(), value, (&Device::flex(), dtype)).autodiff().require_grad())
        }
    }
    let device = Device::flex().autodiff();
    let model = Model {
        embedding: EmbeddingConfig::new(6, 4).init(&device),
        linear: LinearConfig::new(4, 6).init(&device),
        conv: ConvTranspose1dConfig::new([4, 6], 3).with_bias(false).init(&device),
    };
    model.map(&mut Fill(over, edge, dtype, 0))
}

/// Of each parameter, how many of its values are infinite and of how many.
fn infinities(model: &Model) -> Vec<(usize, usize)> {
    struct Count(Vec<(usize, usize)>);
    impl ModuleVisitor for Count {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let values = values(param.val());
            self.0.push((values.iter().filter(|x| x.is_infinite()).count(), values.len()));
        }
    }
    let mut count = Count(Vec::new());
    model.visit(&mut count);
    count.0
}

/// The same gradient everywhere.
fn even(model: &Model, value: f32) -> GradientsParams {
    struct Draw(GradientsParams, f32);
    impl ModuleVisitor for Draw {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let weights = param.val();
            let tensor = Tensor::full(weights.dims(), self.1, (&Device::flex(), weights.dtype()));
            self.0.register::<D>(param.id, tensor);
        }
    }
    let mut draw = Draw(GradientsParams::new(), value);
    model.visit(&mut draw);
    draw.0
}

fn optimizer(preset: &str, model: &Model) -> Hybrid {
    let mut config = SpectralConfig::preset(preset).unwrap().with_weight_decay(0.0);
    config.rounding = Some(Rounding::Nearest);
    if config.spectral.recipe().is_some_and(|recipe| recipe.map == SpectralMap::Identity) {
        config.elementwise = Some(config.spectral);
    }
    let plan = Plan::builder().rule("*.weight", Rule::Spectral);
    Hybrid::new(&config, model, &plan).unwrap()
}

fn check(what: &str, error: &Error, name: &str) {
    assert!(matches!(error.kind(), ErrorKind::NonFinite { .. }), "{what}: {error}");
    assert_eq!(error.parameter(), Some(name), "{what}: {error}");
}

/// Three steps; the first takes the parameter over, and only it says so.
fn said_once(preset: &str, over: usize, (edge, dtype): (f32, DType), (lr, value): (f64, f32)) {
    let what = format!("{preset}, {dtype:?}, {}", NAMES[over]);
    let start = model(over, edge, dtype);
    let mut optimizer = optimizer(preset, &start);
    let drawn = even(&start, value);
    let refused = optimizer.step(lr, start, drawn).unwrap_err();
    check(&what, &refused.error, NAMES[over]);
    let mut model = refused.module;
    for step in 1..4 {
        assert_eq!(optimizer.steps(), step, "{what}");
        for (at, (infinite, all)) in infinities(&model).into_iter().enumerate() {
            assert_eq!(infinite, if at == over { all } else { 0 }, "{what}, step {step}: {}", NAMES[at]);
        }
        assert!(optimizer.to_bytes().is_ok(), "{what}: the state is whole");
        // Small, so that no other parameter reaches the edge.
        let drawn = even(&model, value);
        model =
            optimizer.step(lr * 1e-3, model, drawn).unwrap_or_else(|e| panic!("{what}, step {step}: {e}"));
    }
}

#[test]
fn a_step_out_of_f16_is_said_once_by_name() {
    // One pass over the weights, a scaled sum (the polar factor), a low-rank one (tail shrink).
    for preset in ["adamw", "signum", "muon", "spectra"] {
        for over in 0..4 {
            said_once(preset, over, (64000.0, DType::F16), (40_000.0, -1.0));
        }
    }
}

#[test]
fn so_is_one_out_of_bf16() {
    // An infinity from (2 - 2^-8) 2^127 = 3.396e38 on, half a unit beyond the largest; that of f32 is 3.403e38. The first
    // momentum is the gradient, so the step adds 9.6e35 to 3.3895e38, of which bf16 has a unit of 1.3e36.
    for over in 0..4 {
        said_once("sgd-m", over, (3.389e38, DType::BF16), (4e9, -2.4e26));
    }
}

#[test]
fn all_parameters_of_a_step_are_named() {
    let start = model(4, 0.0, DType::F16);
    let mut optimizer = optimizer("adamw", &start);
    let drawn = even(&start, -1.0);
    let refused = optimizer.step(1e5, start, drawn).unwrap_err();
    check("all", &refused.error, &NAMES.join(", "));
    assert_eq!(optimizer.steps(), 1);
}

#[test]
fn each_value_is_told_of_by_the_step_that_takes_it_over() {
    let start = layer(Tensor::full([4, 6], 64000.0, (&Device::flex(), DType::F16)));
    let config = SpectralConfig::preset("signum").unwrap().with_weight_decay(0.0);
    let mut optimizer = config.with_rounding(Some(Rounding::Nearest)).init_for(&start).unwrap();
    // Only where the gradient is not zero does signum move.
    let drawn = |at: usize| {
        let mut values = [0.0f32; 24];
        values[at] = -1.0;
        Tensor::<1>::from_data(values, &Device::flex()).reshape([4, 6])
    };
    let mut module = start;
    for (step, at) in [3, 3, 20].into_iter().enumerate() {
        let gradient = gradient(&module.weight, drawn(at));
        module = match optimizer.step(20_000.0, module, gradient) {
            Err(refused) if step != 1 => refused.module,
            Ok(module) if step == 1 => module,
            _ => panic!("step {step}"),
        };
    }
    let weights = values(module.weight.val());
    let infinite = (0..24).filter(|at| weights[*at].is_infinite()).collect::<Vec<_>>();
    assert_eq!(infinite, [3, 20]);
}

#[test]
fn what_has_room_is_not_told_of() {
    for dtype in [DType::BF16, DType::F32] {
        for preset in ["adamw", "spectra"] {
            let mut model = model(1, 64000.0, dtype);
            let mut optimizer = optimizer(preset, &model);
            for _ in 0..3 {
                let drawn = even(&model, -1.0);
                model = optimizer.step(20_000.0, model, drawn).unwrap();
            }
            assert!(infinities(&model).iter().all(|(infinite, _)| *infinite == 0), "{preset}, {dtype:?}");
        }
    }
}

#[test]
fn under_burns_own_type_it_ends_the_run_until_a_record_is_loaded() {
    let start = model(1, 64000.0, DType::F16);
    let mut own = optimizer("spectra", &start).optimizer().unwrap();
    let drawn = even(&start, -1.0);
    let start = learner::step(&mut own, 1.0, start, drawn).unwrap();
    let record = own.to_record();
    let drawn = even(&start, -1.0);
    let panic = learner::step(&mut own, 20_000.0, start.clone(), drawn).unwrap_err();
    assert!(panic.contains("linear.weight") && panic.contains("infinity"), "{panic}");
    let drawn = even(&start, -1.0);
    assert_eq!(learner::step(&mut own, 1.0, start.clone(), drawn).unwrap_err(), panic, "a state is lost");
    let drawn = even(&start, -1.0);
    assert!(learner::step(&mut own.load_record(record), 1.0, start.clone(), drawn).is_ok());

    // A run that goes on from infinite weights is not told of them.
    let mut hybrid = optimizer("spectra", &start);
    let drawn = even(&start, -1.0);
    let infinite = hybrid.step(20_000.0, start, drawn).unwrap_err().module;
    let mut own = hybrid.optimizer().unwrap();
    let drawn = even(&infinite, -1.0);
    assert!(learner::step(&mut own, 1.0, infinite, drawn).is_ok());
}

#[test]
fn a_master_beyond_the_range_is_told_of_by_every_step_until_it_is_back() {
    let start = layer(Tensor::full([4, 6], 64000.0, (&Device::flex(), DType::F16)));
    let mut optimizer =
        SpectralConfig::preset("signum").unwrap().with_weight_decay(0.0).init_for(&start).unwrap();
    let mut module = start;
    // 84000, 83000 and again 63000.
    for (lr, gradient_of_all, told) in [(20_000.0, -1.0, true), (1000.0, 1.0, true), (20_000.0, 1.0, false)] {
        let drawn = Tensor::full([4, 6], gradient_of_all, (&Device::flex(), DType::F16));
        // Signum goes by the sign of the momentum: a gradient that outweighs it.
        let drawn = gradient(&module.weight, drawn * if told && lr < 2000.0 { 100.0 } else { 1.0 });
        let stepped = optimizer.step(lr, module, drawn);
        assert_eq!(stepped.is_err(), told, "at {lr}");
        module = stepped.unwrap_or_else(|refused| refused.module);
    }
    assert!(values(module.weight.val()).iter().all(|x| *x == 63008.0), "63000 to the nearest multiple of 32");
}
