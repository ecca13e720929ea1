//! Masters of 16-bit weights: updates below half a unit in their last place add up.

use crate::common::{bits, gradient, layer, random, values};
use crate::learner;
use burn::nn::Linear;
use burn::tensor::{DType, Device, Tensor};
use spectra_burn::plan::{Plan, PlanBuilder, Rule};
use spectra_burn::rules::Rounding;
use spectra_burn::{Hybrid, SpectralConfig};
use spectra_core::backend::{Backend, Matrix};
use spectra_core::faer::{Faer, FaerMatrix};
use spectra_core::linalg::SixteenBits;
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec};
use spectra_core::state::MASTER;

const SHAPE: [usize; 2] = [6, 4];

fn ones(dtype: DType) -> Linear {
    layer(Tensor::ones(SHAPE, (&Device::flex(), dtype)))
}

fn hybrid(module: &Linear, rounding: Option<Rounding>, builder: &PlanBuilder) -> Hybrid {
    let config = SpectralConfig::preset("adamw").unwrap().with_weight_decay(0.1).with_rounding(rounding);
    Hybrid::new(&config, module, builder).unwrap()
}

fn train(optimizer: &mut Hybrid, mut module: Linear, steps: std::ops::Range<u64>, size: f64) -> Linear {
    for at in steps {
        let drawn = random(SHAPE, at, module.weight.val().dtype()) * size;
        let drawn = gradient(&module.weight, drawn);
        module = optimizer.step(1e-3, module, drawn).unwrap();
    }
    module
}

#[test]
fn small_decays_add_up_with_a_master_and_are_lost_without() {
    // Gradients of zero: what is left is X = (1 - 1e-4) X, of which half a unit of bf16, 2^-9, sees nothing.
    let left = (1.0f64 - 1e-4).powi(1000);
    for (dtype, unit) in [(DType::BF16, 2f64.powi(-9)), (DType::F16, 2f64.powi(-12))] {
        let steps = |rounding, builder: &PlanBuilder| {
            let start = ones(dtype);
            let mut optimizer = hybrid(&start, rounding, builder);
            values(train(&mut optimizer, start, 0..1000, 0.0).weight.val())
        };
        let nearest = Plan::builder().group("weight", |g| g.round(Rounding::Nearest));
        let master = Plan::builder().group("weight", |g| g.round(Rounding::Master));
        for found in [steps(None, &Plan::builder()), steps(Some(Rounding::Nearest), &master)] {
            // The last rounding is to half a unit of 16 bits, those of the master each to half a unit of f32.
            let tolerance = unit + 1000.0 * f64::from(f32::EPSILON) / 2.0;
            assert!(found.iter().all(|x| (x - left).abs() <= tolerance), "{dtype:?}: {found:?}");
        }
        for found in [steps(Some(Rounding::Nearest), &Plan::builder()), steps(None, &nearest)] {
            assert_eq!(found, [1.0; 24], "{dtype:?}");
        }
    }
}

#[test]
fn the_plan_prints_them_and_only_16_bits_have_one() {
    for (dtype, has_master) in
        [(DType::BF16, true), (DType::F16, true), (DType::F32, false), (DType::F64, false)]
    {
        let module = ones(dtype);
        let optimizer = hybrid(&module, None, &Plan::builder());
        let size = if dtype == DType::F64 { 8 } else { 4 };
        assert_eq!(optimizer.state_bytes(), size * (if has_master { 3 } else { 2 }) * 24, "{dtype:?}");
        assert_eq!(optimizer.plan().state(&optimizer).bytes, optimizer.state_bytes() as u64);
        assert_eq!(optimizer.plan_table().to_string().contains("master"), has_master, "{dtype:?}");
    }
}

#[test]
fn they_are_restored_and_come_and_go_with_the_setting() {
    let start = layer(random(SHAPE, 7, DType::BF16));
    let plan = Plan::builder();
    let mut optimizer = hybrid(&start, None, &plan);
    let module = train(&mut optimizer, start.clone(), 0..5, 1.0);
    let saved = optimizer.to_bytes().unwrap();
    let master = values(optimizer.buffer("weight", MASTER).unwrap().unwrap().transpose());
    let rounded = |values: &[f64]| {
        let tensor = Tensor::<1>::from_data(values, (&Device::flex(), DType::F32));
        self::values(tensor.cast(DType::BF16))
    };
    assert_eq!(rounded(&master), values(module.weight.val()));
    assert_ne!(master, values(module.weight.val()));
    let expected = bits(&train(&mut optimizer, module.clone(), 5..8, 1.0));

    let mut again = hybrid(&module, None, &plan);
    let restored = again.load_bytes(saved.clone()).unwrap();
    assert_eq!((restored.loaded, restored.fresh), (vec!["weight".into()], vec![]));
    assert_eq!(bits(&train(&mut again, module.clone(), 5..8, 1.0)), expected);
    let mut learners = hybrid(&module, None, &plan).optimizer().unwrap().from_bytes(saved.clone()).unwrap();
    let mut by_learner = module.clone();
    for at in 5..8 {
        let drawn = gradient(&by_learner.weight, random(SHAPE, at, DType::BF16));
        by_learner = learner::step(&mut learners, 1e-3, by_learner, drawn).unwrap();
    }
    assert_eq!(bits(&by_learner), expected);

    // Left out where it is not asked for, made of the weights where it is and the state has none.
    let mut without = hybrid(&module, Some(Rounding::Nearest), &plan);
    without.load_bytes(saved).unwrap();
    assert!(without.buffer("weight", MASTER).unwrap().is_none());
    let module = train(&mut without, module, 5..6, 1.0);
    let mut with = hybrid(&module, None, &plan);
    with.load_bytes(without.to_bytes().unwrap()).unwrap();
    train(&mut with, module, 6..7, 1.0);
    assert!(with.buffer("weight", MASTER).unwrap().is_some());
}

/// Where a map goes by norms, the host meets the NaN; elsewhere the rule makes it of the gradient.
#[test]
fn without_the_check_a_nan_reaches_the_master_and_the_weights() {
    for preset in ["spectra", "spectra-adamw", "muon", "adamw"] {
        let config = SpectralConfig::preset(preset).unwrap().with_check_finite(false);
        let start = layer(random(SHAPE, 7, DType::BF16));
        let mut optimizer = Hybrid::new(&config, &start, &Plan::builder()).unwrap();
        let module = train(&mut optimizer, start, 0..1, 1.0);
        let module = train(&mut optimizer, module, 1..2, f64::NAN);
        let module = train(&mut optimizer, module, 2..3, 1.0);
        let master = values(optimizer.buffer("weight", MASTER).unwrap().unwrap());
        assert!(master.iter().all(|x| x.is_nan()), "{preset}: {master:?}");
        let weights = values(module.weight.val());
        assert!(weights.iter().all(|x| x.is_nan()), "{preset}: {weights:?}");
        assert_eq!(optimizer.steps(), 3, "{preset}");
    }
}

/// The draws go by the parameter's name, its step and the entry: not by who steps it, nor how the entries are stored.
#[test]
fn stochastic_rounding_draws_as_on_the_cores_backend() {
    let rounding = Rounding::Stochastic { seed: 3 };
    let start = layer(random(SHAPE, 7, DType::BF16));
    let mut x = rows_are_outputs(&start.weight.val().inner());
    let mut optimizer = hybrid(&start, Some(rounding), &Plan::builder());
    let spec = ParameterSpec {
        weights: rounding.of(Some(SixteenBits::Bf16)),
        ..ParameterSpec::new("weight", (SHAPE[1], SHAPE[0]), Rule::Spectral)
    };
    let config = Config::preset("adamw").unwrap().lr(1e-3).weight_decay(0.1);
    let mut core = Optimizer::new(Faer::<f32>::new(), config, [spec]).unwrap();
    let mut module = start;
    let nearest =
        train(&mut hybrid(&module, Some(Rounding::Nearest), &Plan::builder()), module.clone(), 0..5, 1.0);
    for at in 0..5 {
        let given = rows_are_outputs(&random(SHAPE, at, DType::BF16));
        core.step(&mut [(&mut x, &given)]).unwrap();
        module = train(&mut optimizer, module, at..at + 1, 1.0);
        let mut found = [0.0; 24];
        rows_are_outputs(&module.weight.val().inner()).read(&mut found).unwrap();
        let mut expected = [0.0; 24];
        x.read(&mut expected).unwrap();
        assert_eq!(found, expected, "step {at}");
    }
    assert_ne!(values(nearest.weight.val()), values(module.weight.val()));
}

fn rows_are_outputs(tensor: &Tensor<2>) -> FaerMatrix<f32> {
    let values: Vec<f32> = values(tensor.clone().transpose()).into_iter().map(|x| x as f32).collect();
    Faer::new().upload(SHAPE[1], SHAPE[0], &values).unwrap()
}
