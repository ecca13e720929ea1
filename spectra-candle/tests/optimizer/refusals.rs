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
