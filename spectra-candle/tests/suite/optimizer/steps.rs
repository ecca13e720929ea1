//! Steps of every kind of variable.

use super::*;

#[test]
fn every_type_of_variable_moves_and_keeps_its_type() -> TestResult {
    for dtype in [DType::F32, DType::F64, DType::BF16, DType::F16] {
        let varmap = model(dtype)?;
        let before = weights(&varmap)?;
        let mut optimizer = Optimizer::from_varmap(&varmap, config()?)?;
        for step in 0..3 {
            optimizer.step(&gradients(&varmap, step)?)?;
        }
        for (name, values) in weights(&varmap)? {
            assert_ne!(values, before[&name], "{name} {dtype:?}");
            assert!(values.iter().all(|x| f64::from_bits(*x).is_finite()), "{name} {dtype:?}");
        }
        assert!(vars(&varmap).values().all(|var| var.dtype() == dtype));
        assert_eq!(optimizer.steps(), 3);
        assert_eq!(optimizer.missing_gradients().len(), 0);
    }
    Ok(())
}

/// bf16 and f16 weights are stepped in f32 and rounded once.
#[test]
fn half_precision_is_f32_rounded_once() -> TestResult {
    for dtype in [DType::BF16, DType::F16] {
        let half = model(dtype)?;
        let wide = VarMap::new();
        for (name, var) in vars(&half) {
            let value = Var::from_tensor(&var.to_dtype(DType::F32)?)?;
            wide.data().lock().unwrap().insert(name, value);
        }
        let grads = gradients(&half, 0)?;
        let mut wide_grads = gradients(&wide, 0)?;
        for (name, var) in vars(&half) {
            let gradient = grads.get(&var).ok_or("no gradient")?.to_dtype(DType::F32)?;
            wide_grads.insert(&vars(&wide)[&name], gradient);
        }
        Optimizer::from_varmap(&half, config()?)?.try_step(&grads)?;
        Optimizer::from_varmap(&wide, config()?)?.try_step(&wide_grads)?;
        for (name, var) in vars(&wide) {
            let rounded = var.to_dtype(dtype)?.to_dtype(DType::F32)?;
            let found = vars(&half)[&name].to_dtype(DType::F32)?;
            let largest =
                (found - rounded)?.abs()?.flatten_all()?.to_vec1::<f32>()?.into_iter().fold(0., f32::max);
            assert_eq!(largest, 0.0, "{name} {dtype:?}");
        }
    }
    Ok(())
}

#[test]
fn a_model_of_several_types_is_stepped_in_the_widest() -> TestResult {
    let varmap = model(DType::F32)?;
    varmap.get((3, 3), "precise", candle_nn::init::ONE, DType::F64, &Device::Cpu)?;
    varmap.get((3, 3), "small", candle_nn::init::ONE, DType::BF16, &Device::Cpu)?;
    varmap.data().lock().unwrap().insert("ids".into(), Var::zeros(4, DType::U32, &Device::Cpu)?);
    let mut optimizer = Optimizer::from_varmap(&varmap, config()?)?;
    assert!(optimizer.plan().get("ids").is_none(), "integers are no parameters");
    varmap.data().lock().unwrap().remove("ids");
    let before = weights(&varmap)?;
    optimizer.step(&gradients(&varmap, 0)?)?;
    for (name, values) in weights(&varmap)? {
        assert_ne!(values, before[&name], "{name}");
    }
    let state = optimizer.state_tensor("small", "momentum")?.ok_or("no momentum")?;
    assert_eq!(state.dtype(), DType::F64);
    Ok(())
}

#[test]
fn variables_change_in_place() -> TestResult {
    let varmap = model(DType::F32)?;
    let seen_by_the_model: Vec<(String, Tensor)> =
        vars(&varmap).into_iter().map(|(name, var)| (name, var.as_tensor().clone())).collect();
    Optimizer::from_varmap(&varmap, config()?)?.step(&gradients(&varmap, 0)?)?;
    for (name, tensor) in seen_by_the_model {
        let values = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        let bits: Vec<u64> = values.into_iter().map(f64::to_bits).collect();
        assert_eq!(bits, weights(&varmap)?[&name], "{name}");
    }
    Ok(())
}

/// A user keeps a gradient, or the momentum that was handed out: later steps must not change it.
#[test]
fn what_was_handed_out_stays() -> TestResult {
    let varmap = model(DType::F32)?;
    let mut optimizer = Optimizer::from_varmap(&varmap, config()?)?;
    let grads = gradients(&varmap, 0)?;
    let name = "layers.0.mlp.up.weight";
    optimizer.step(&grads)?;
    let momentum = optimizer.state_tensor(name, "momentum")?.ok_or("no momentum")?;
    let gradient = grads.get(&vars(&varmap)[name]).ok_or("no gradient")?;
    let before = (momentum.to_vec2::<f32>()?, gradient.to_vec2::<f32>()?);
    let loaded = optimizer.state_tensors()?;
    optimizer.load_state_tensors(&loaded)?;
    let key = format!("optimizer.{name}.momentum");
    for step in 1..3 {
        optimizer.step(&gradients(&varmap, step)?)?;
    }
    assert_eq!(before, (momentum.to_vec2()?, gradient.to_vec2()?));
    assert_eq!(loaded[&key].to_vec2::<f32>()?, before.0, "a loaded tensor is copied before it changes");
    Ok(())
}

/// A threshold and its factor multiply; powers of two leave the bits alone.
#[test]
fn the_factors_of_both_clip_thresholds() -> TestResult {
    let stepped =
        |pre_clip: f64, pre_factor: f64, clip_factor: f64| -> Result<_, Box<dyn std::error::Error>> {
            let varmap = model(DType::F32)?;
            let config = Config::preset("spectra-adamw")?.pre_clip(PreClip::new(pre_clip));
            let mut optimizer = Optimizer::from_varmap(&varmap, config)?;
            optimizer.set_pre_clip_factor(pre_factor)?;
            optimizer.set_clip_factor(clip_factor)?;
            // Adam's first step does not see the size of a gradient, its second does.
            optimizer.step(&gradients(&varmap, 0)?)?;
            optimizer.step(&gradients(&varmap, 1)?)?;
            Ok(weights(&varmap)?)
        };
    assert_eq!(stepped(0.5, 1.0, 1.0)?, stepped(0.25, 2.0, 1.0)?);
    assert_ne!(stepped(0.5, 1.0, 1.0)?, stepped(0.5, 2.0, 1.0)?);
    assert_ne!(stepped(0.5, 1.0, 1.0)?, stepped(0.5, 1.0, 0.125)?);
    assert!(stepped(0.5, 0.0, 1.0).is_err() && stepped(0.5, f64::NAN, 1.0).is_err());
    Ok(())
}

#[test]
fn a_gradient_that_is_the_variable_itself() -> TestResult {
    let varmap = model(DType::F32)?;
    let expected = model(DType::F32)?;
    let (mut grads, mut copies) = (gradients(&varmap, 0)?, gradients(&expected, 0)?);
    for (name, var) in vars(&varmap) {
        grads.insert(&var, var.as_detached_tensor());
        copies.insert(&vars(&expected)[&name], var.copy()?.detach());
    }
    Optimizer::from_varmap(&varmap, config()?)?.step(&grads)?;
    Optimizer::from_varmap(&expected, config()?)?.step(&copies)?;
    assert_eq!(weights(&varmap)?, weights(&expected)?);
    Ok(())
}

#[test]
fn the_order_does_not_depend_on_the_maps() -> TestResult {
    // A VarMap iterates in another order each time it is made; with enough names two agree by accident never.
    let names = || -> Result<Vec<String>, Box<dyn std::error::Error>> {
        let varmap = VarMap::new();
        for i in 0..40 {
            varmap.get(2, &format!("layers.{i}.bias"), candle_nn::init::ZERO, DType::F32, &Device::Cpu)?;
        }
        let optimizer = Optimizer::from_varmap(&varmap, config()?)?;
        Ok(optimizer.plan().entries().iter().map(|entry| entry.name().to_owned()).collect())
    };
    assert_eq!(names()?, names()?);
    assert!(names()?.is_sorted());
    Ok(())
}

#[test]
fn variables_without_names() -> TestResult {
    let named = model(DType::F32)?;
    let list: Vec<Var> = vars(&named).into_values().collect();
    let mut optimizer = Optimizer::new(list, config()?)?;
    let entries = optimizer.plan().entries();
    assert_eq!(
        (entries[0].name(), entries[0].rule()),
        ("var.0", Rule::Spectral),
        "an embedding by its shape"
    );
    assert_eq!((entries[2].name(), entries[2].rule()), ("var.2", Rule::Elementwise));
    optimizer.step(&gradients(&named, 0)?)?;
    Ok(())
}

#[test]
fn the_plan_says_who_gets_what() -> TestResult {
    let varmap = model(DType::F32)?;
    let optimizer = Optimizer::from_varmap(&varmap, config()?)?;
    let table = optimizer.plan_table().to_string();
    for words in ["embedding by name", "norm by name", "convolution flattened 4 x 6", "spectral", "scalar"] {
        assert!(table.contains(words), "{words} is not in\n{table}");
    }
    let error = Optimizer::with_plan(&varmap, config()?, &Plan::builder().rule("nothing*", Rule::Frozen));
    assert!(error.is_err_and(|e| e.to_string().contains("nothing*")));
    assert!(optimizer.state_tensor("nothing", "momentum").is_err());
    assert!(optimizer.state_tensor("scale", "momentum")?.is_none(), "no state before the first step");
    Ok(())
}

#[test]
fn state_bytes_are_those_of_the_tensors() -> TestResult {
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        let varmap = model(dtype)?;
        let mut optimizer = Optimizer::from_varmap(&varmap, config()?)?;
        optimizer.step(&gradients(&varmap, 0)?)?;
        let tensors = optimizer.state_tensors()?;
        let floats = tensors.values().filter(|t| t.dtype().is_float());
        let bytes: usize = floats.map(|t| t.elem_count() * t.dtype().size_in_bytes()).sum();
        assert_eq!(optimizer.state_bytes(), bytes, "{dtype:?}");
    }
    Ok(())
}

#[test]
fn it_can_move_to_another_thread() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Optimizer>();
}
