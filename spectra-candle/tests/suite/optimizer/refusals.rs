//! Bad gradients, rates and models.

use super::*;

#[test]
fn a_missing_gradient_is_skipped_and_told() -> TestResult {
    let varmap = model(DType::F32)?;
    let frozen = Plan::builder().rule("scale", Rule::Frozen);
    let mut optimizer = Optimizer::with_plan(&varmap, config()?, &frozen)?;
    let mut grads = gradients(&varmap, 0)?;
    let missing = ["layers.0.norm.weight", "layers.1.mlp.down.weight"];
    for name in missing.iter().chain(&["scale"]) {
        grads.remove(&vars(&varmap)[*name]);
    }
    let before = weights(&varmap)?;
    assert_eq!(optimizer.try_step(&grads)?, 2);
    assert_eq!(optimizer.missing_gradients().collect::<Vec<_>>(), missing);
    for (name, values) in weights(&varmap)? {
        let stays = missing.contains(&name.as_str()) || name == "scale";
        assert_eq!(values == before[&name], stays, "{name}");
    }
    assert_eq!(optimizer.try_step(&gradients(&varmap, 1)?)?, 0);
    assert_eq!(optimizer.missing_gradients().len(), 0);
    Ok(())
}

#[test]
fn a_non_finite_gradient_is_named_and_nothing_moves() -> TestResult {
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for name in ["embed.weight", "layers.1.conv.weight", "scale"] {
                let (varmap, twin) = (model(dtype)?, model(dtype)?);
                let mut optimizer = Optimizer::from_varmap(&varmap, config()?)?;
                let mut undisturbed = Optimizer::from_varmap(&twin, config()?)?;
                optimizer.step(&gradients(&varmap, 0)?)?;
                undisturbed.step(&gradients(&twin, 0)?)?;

                let mut grads = gradients(&varmap, 1)?;
                let var = &vars(&varmap)[name];
                let mut values = vec![0.0; var.elem_count()];
                values[var.elem_count() / 2] = bad;
                let poisoned = Tensor::from_vec(values, var.shape(), &Device::Cpu)?.to_dtype(dtype)?;
                grads.insert(var, poisoned);
                let before = weights(&varmap)?;
                let error = optimizer.try_step(&grads).expect_err("refused");
                assert_eq!(error.parameter(), Some(name), "{error}");
                assert!(matches!(error.kind(), ErrorKind::NonFinite { .. }), "{error}");
                assert_eq!(weights(&varmap)?, before);
                assert_eq!(optimizer.steps(), 1);
                // The state has not moved either: both go on alike.
                optimizer.step(&gradients(&varmap, 1)?)?;
                undisturbed.step(&gradients(&twin, 1)?)?;
                assert_eq!(weights(&varmap)?, weights(&twin)?);
            }
        }
    }
    Ok(())
}

#[test]
fn gradients_that_do_not_fit_are_refused_before_anything_moves() -> TestResult {
    let varmap = model(DType::F32)?;
    let mut optimizer = Optimizer::from_varmap(&varmap, config()?)?;
    let name = "layers.1.mlp.down.weight";
    let before = weights(&varmap)?;
    for wrong in [
        Tensor::zeros((12, 8), DType::F32, &Device::Cpu)?,
        Tensor::zeros(96, DType::F32, &Device::Cpu)?,
        Tensor::zeros((8, 12), DType::F64, &Device::Cpu)?,
        Tensor::zeros((8, 12), DType::U32, &Device::Cpu)?,
    ] {
        let mut grads = gradients(&varmap, 0)?;
        grads.insert(&vars(&varmap)[name], wrong);
        let error = optimizer.try_step(&grads).expect_err("refused");
        assert_eq!(error.parameter(), Some(name), "{error}");
        assert_eq!(weights(&varmap)?, before);
    }
    Ok(())
}

#[test]
fn rates_move_together_and_bad_ones_are_refused() -> TestResult {
    let varmap = model(DType::F32)?;
    let mut optimizer = Optimizer::from_varmap(&varmap, config()?.weight_decay(0.0))?;
    assert_eq!(optimizer.learning_rate(), 0.02);
    optimizer.set_learning_rate(0.0);
    let before = weights(&varmap)?;
    optimizer.step(&gradients(&varmap, 0)?)?;
    assert_eq!(weights(&varmap)?, before, "a rate of zero stops matrices and vectors alike");

    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        optimizer.set_learning_rate(bad);
        let error = optimizer.try_step(&gradients(&varmap, 1)?).expect_err("refused");
        assert!(error.to_string().contains("learning rate"), "{error}");
        assert_eq!(weights(&varmap)?, before);
    }
    optimizer.set_learning_rate(0.5);
    assert_eq!(optimizer.learning_rate(), 0.5);
    optimizer.step(&gradients(&varmap, 1)?)?;
    assert!(Optimizer::from_varmap(&varmap, config()?.lr(-1.0)).is_err());
    Ok(())
}

#[test]
fn one_variable_under_two_names_is_refused() -> TestResult {
    let varmap = model(DType::F32)?;
    let tied = vars(&varmap)["embed.weight"].clone();
    varmap.data().lock().unwrap().insert("head.weight".into(), tied);
    let error = Optimizer::from_varmap(&varmap, config()?).expect_err("refused");
    assert!(error.to_string().contains("head.weight"), "{error}");
    Ok(())
}

#[test]
fn a_model_without_variables_is_refused() -> TestResult {
    let refused = |error: String| assert!(error.contains("parameters = 0"), "{error}");
    refused(Optimizer::from_varmap(&VarMap::new(), config()?).expect_err("empty").to_string());
    refused(Optimizer::empty(config()?).expect_err("empty").to_string());
    let integers = VarMap::new();
    integers.data().lock().unwrap().insert("ids".into(), Var::zeros(4, DType::U32, &Device::Cpu)?);
    refused(Optimizer::from_varmap(&integers, config()?).expect_err("nothing to train").to_string());
    let frozen = Plan::builder().rule("*", Rule::Frozen);
    assert!(Optimizer::with_plan(&model(DType::F32)?, config()?, &frozen).is_err());
    Ok(())
}

/// A loss of another model, of a detached tensor, or through an operation that has no backward pass.
#[test]
fn a_loss_that_reaches_no_variable_is_refused() -> TestResult {
    let (varmap, other) = (model(DType::F32)?, model(DType::F32)?);
    let mut optimizer = Optimizer::from_varmap(&varmap, config()?)?;
    let before = weights(&varmap)?;
    let (up, norm) = (&vars(&varmap)["layers.0.mlp.up.weight"], &vars(&varmap)["layers.0.norm.weight"]);
    let losses = [
        vars(&other)["layers.0.mlp.up.weight"].sqr()?.sum_all()?,
        up.detach().sqr()?.sum_all()?,
        candle_nn::ops::rms_norm(up, norm, 1e-5)?.sqr()?.sum_all()?,
    ];
    for loss in losses {
        let error = optimizer.backward_step(&loss).expect_err("no gradient").to_string();
        assert!(error.contains("no gradient") && error.contains("rms_norm_slow"), "{error}");
        assert_eq!((optimizer.steps(), weights(&varmap)?), (0, before.clone()));
    }
    // The form with a backward pass reaches both.
    optimizer.backward_step(&candle_nn::ops::rms_norm_slow(up, norm, 1e-5)?.sqr()?.sum_all()?)?;
    assert_eq!((optimizer.steps(), optimizer.missing_gradients().len()), (1, 4));
    Ok(())
}

#[test]
fn a_single_missing_gradient_is_an_error_where_all_are_required() -> TestResult {
    let varmap = model(DType::F32)?;
    let mut optimizer = Optimizer::from_varmap(&varmap, config()?.require_gradients(true))?;
    let mut grads = gradients(&varmap, 0)?;
    optimizer.step(&grads)?;
    grads.remove(&vars(&varmap)["layers.1.conv.weight"]);
    let before = weights(&varmap)?;
    let error = optimizer.try_step(&grads).expect_err("required");
    assert_eq!(error.parameter(), Some("layers.1.conv.weight"), "{error}");
    assert!(matches!(error.kind(), ErrorKind::MissingGradient { .. }), "{error}");
    assert_eq!((optimizer.steps(), weights(&varmap)?), (1, before));
    optimizer.step(&gradients(&varmap, 1)?)?;
    // A frozen variable needs none.
    let frozen = Plan::builder().rule("layers.1.conv.weight", Rule::Frozen);
    let mut optimizer = Optimizer::with_plan(&varmap, config()?.require_gradients(true), &frozen)?;
    optimizer.step(&grads)?;
    Ok(())
}

/// Without the check a NaN is what the user asked for: the step is taken and counted.
#[test]
fn without_the_check_a_nan_is_stepped_and_counted() -> TestResult {
    for preset in ["spectra", "spectra-adamw", "muon", "frank-wolfe", "adamw"] {
        for dtype in [DType::F32, DType::BF16] {
            let varmap = model(dtype)?;
            // A rate that bf16 sees.
            let config = Config::preset(preset)?.lr(0.1).check_finite(false);
            let mut optimizer = Optimizer::from_varmap(&varmap, config)?;
            let name = "layers.1.mlp.down.weight";
            let mut grads = gradients(&varmap, 0)?;
            let var = &vars(&varmap)[name];
            grads.insert(var, (var.as_tensor() * f64::NAN)?);
            let before = weights(&varmap)?;
            optimizer.step(&grads)?;
            optimizer.step(&gradients(&varmap, 1)?)?;
            assert_eq!(optimizer.steps(), 2);
            for (other, values) in weights(&varmap)? {
                let nan = values.iter().any(|x| f64::from_bits(*x).is_nan());
                assert_eq!(nan, other == name, "{preset}: {other}");
                assert_ne!(values, before[&other], "{preset}: {other}");
            }
        }
    }
    Ok(())
}
