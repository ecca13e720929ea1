//! A variable that a finite update takes out of its type's range is told of, once and by name.

use candle_core::{DType, Device, Tensor, Var};
use spectra_candle::plan::Plan;
use spectra_candle::rules::Rounding;
use spectra_candle::{Config, ErrorKind, Optimizer, Result};

/// Three steps of the variable beside another one that has no gradient, on gradients of -1.
fn steps(var: &Var, config: Config, beside: DType) -> Result<Vec<Result<usize>>> {
    let still =
        Tensor::zeros((4, 6), beside, &Device::Cpu).and_then(|t| Var::from_tensor(&t)).expect("a variable");
    let named = [("still.weight".to_owned(), still), ("layer.weight".to_owned(), var.clone())];
    let mut optimizer = Optimizer::from_named_vars(named, config, &Plan::builder())?;
    let gradients = var
        .affine(0.0, 0.0)
        .and_then(|x| (x - var.as_tensor())?.sum_all()?.backward())
        .expect("a gradient of -1");
    Ok((0..3).map(|_| optimizer.try_step(&gradients)).collect())
}

/// A rate that takes every entry over the largest f16, 65504, at the first step from 64000.
fn config(preset: &str) -> Config {
    Config::preset(preset).expect("a preset").lr(20_000.0).weight_decay(0.0).apply_to_all()
}

fn check(what: &str, outcomes: Vec<Result<usize>>) {
    let error = outcomes[0].as_ref().expect_err("infinite weights");
    assert!(matches!(error.kind(), ErrorKind::NonFinite { .. }), "{error}");
    assert_eq!(error.parameter(), Some("layer.weight"), "{error}");
    // Said once: what the user does with infinite weights is his own affair.
    assert!(outcomes[1..].iter().all(Result::is_ok), "{what}: {outcomes:?}");
}

fn full(value: f32, dtype: DType) -> Var {
    let tensor = Tensor::full(value, (4, 6), &Device::Cpu).and_then(|t| t.to_dtype(dtype));
    tensor.and_then(|t| Var::from_tensor(&t)).expect("a variable")
}

#[test]
fn a_step_out_of_f16_is_said_once_by_name() {
    // Adam's and Signum's rule are one pass; the polar factor's update is a scaled sum, the tail shrink's a low-rank one.
    for preset in ["adamw", "signum", "muon", "spectra"] {
        let config = config(preset).rounding(Rounding::Nearest);
        check(preset, steps(&full(64000.0, DType::F16), config, DType::F16).expect("an optimizer"));
    }
}

/// The master is finite, so each step tells that the variable is not, until the master has come back.
#[test]
fn with_a_master_it_is_said_as_long_as_it_is_so() {
    let var = full(64000.0, DType::F16);
    let outcomes = steps(&var, config("adamw"), DType::F16).expect("an optimizer");
    assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
}

#[test]
fn so_is_one_out_of_f32_in_a_model_of_f64() {
    let config = config("adamw").lr(1e37);
    check("f32", steps(&full(3.4e38, DType::F32), config, DType::F64).expect("an optimizer"));
}

#[test]
fn what_has_room_is_not_told_of() {
    for dtype in [DType::BF16, DType::F32] {
        let outcomes = steps(&full(64000.0, dtype), config("adamw"), dtype).expect("an optimizer");
        assert!(outcomes.iter().all(Result::is_ok), "{dtype:?}");
    }
}
