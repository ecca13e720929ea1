//! What comes back.

use super::*;

#[test]
fn training_goes_on_with_the_same_bits() -> TestResult {
    for dtype in [DType::F32, DType::F64, DType::BF16, DType::F16] {
        let mut first = Trained::new(dtype)?;
        let tensors = first.optimizer.state_tensors()?;
        for by_file in [true, false] {
            let resumed = model(dtype)?;
            copy_weights(&first.varmap, &resumed)?;
            let mut optimizer = Optimizer::from_varmap(&resumed, config()?)?;
            let restored = if by_file {
                optimizer.load(first.path())?
            } else {
                optimizer.load_state_tensors(&tensors)?
            };
            assert_eq!((optimizer.steps(), optimizer.learning_rate()), (2, 0.02));
            assert_eq!((restored.steps, restored.differences), (2, vec![]));
            let twin = model(dtype)?;
            copy_weights(&first.varmap, &twin)?;
            let mut uninterrupted = Optimizer::from_varmap(&twin, config()?)?;
            uninterrupted.load_state_tensors(&first.optimizer.state_tensors()?)?;
            for step in 2..6 {
                optimizer.step(&gradients(&resumed, step)?)?;
                uninterrupted.step(&gradients(&twin, step)?)?;
            }
            assert_eq!(weights(&resumed)?, weights(&twin)?, "{dtype:?} by file: {by_file}");
        }
        // And against the run that was never saved.
        let resumed = model(dtype)?;
        copy_weights(&first.varmap, &resumed)?;
        let mut optimizer = Optimizer::from_varmap(&resumed, config()?)?;
        optimizer.load(first.path())?;
        for step in 2..6 {
            optimizer.step(&gradients(&resumed, step)?)?;
            first.optimizer.step(&gradients(&first.varmap, step)?)?;
        }
        assert_eq!(weights(&resumed)?, weights(&first.varmap)?, "{dtype:?}");
    }
    Ok(())
}

/// Matrices whose steps are split over threads.
#[test]
fn large_matrices_go_on_with_the_same_bits() -> TestResult {
    for preset in ["spectra", "adamw"] {
        let make = || -> Result<(VarMap, Optimizer), Failure> {
            let varmap = VarMap::new();
            for (name, shape) in [("up.weight", (700, 300)), ("down.weight", (300, 700))] {
                varmap.get(shape, name, candle_nn::init::ZERO, DType::F32, &Device::Cpu)?;
            }
            let optimizer = Optimizer::from_varmap(&varmap, Config::preset(preset)?.clip_norm(1.0))?;
            Ok((varmap, optimizer))
        };
        let ((first, mut uninterrupted), (second, mut resumed)) = (make()?, make()?);
        let folder = tempfile::tempdir()?;
        for step in 0..4 {
            if step == 2 {
                uninterrupted.save(folder.path().join("state"))?;
                copy_weights(&first, &second)?;
                resumed.load(folder.path().join("state"))?;
            }
            uninterrupted.step(&gradients(&first, step)?)?;
            if step >= 2 {
                resumed.step(&gradients(&second, step)?)?;
            }
        }
        assert_eq!(weights(&first)?, weights(&second)?, "{preset}");
    }
    Ok(())
}

#[test]
fn a_state_before_the_first_step_and_one_after_a_missing_gradient() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("state");
    let varmap = model(DType::F32)?;
    let mut optimizer = Optimizer::from_varmap(&varmap, config()?)?;
    optimizer.save(&path)?;
    optimizer.load(&path)?;
    let mut grads = gradients(&varmap, 0)?;
    grads.remove(&vars(&varmap)["embed.weight"]);
    optimizer.step(&grads)?;
    optimizer.save(&path)?;
    let mut restored = Optimizer::from_varmap(&varmap, config()?)?;
    restored.load(&path)?;
    assert_eq!(numbers(&restored)?, numbers(&optimizer)?);
    Ok(())
}

#[test]
fn one_file_for_model_and_optimizer() -> TestResult {
    let trained = Trained::new(DType::BF16)?;
    let mut checkpoint = trained.optimizer.state_tensors()?;
    checkpoint.extend(vars(&trained.varmap).into_iter().map(|(name, var)| (name, var.as_detached_tensor())));
    candle_core::safetensors::save(&checkpoint, trained.path())?;

    let mut varmap = model(DType::BF16)?;
    varmap.load(trained.path())?;
    let mut optimizer = Optimizer::from_varmap(&varmap, config()?)?;
    optimizer.load_state_tensors(&candle_core::safetensors::load(trained.path(), &Device::Cpu)?)?;
    assert_eq!(weights(&varmap)?, weights(&trained.varmap)?);
    assert_eq!(numbers(&optimizer)?, numbers(&trained.optimizer)?);
    Ok(())
}

#[test]
fn the_file_describes_itself() -> TestResult {
    let trained = Trained::new(DType::F32)?;
    let bytes = std::fs::read(trained.path())?;
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes)?;
    let metadata = header.metadata().clone().ok_or("no metadata")?;
    assert_eq!(metadata["format"], "spectra optimizer state");
    assert_eq!((metadata["version"].as_str(), metadata["step"].as_str()), ("2", "2"));
    assert_eq!(metadata["recipes"], "adam + identity; momentum + tail shrink");
    assert_eq!(metadata["plan"].len(), 16);
    Ok(())
}

/// The example: a configured rate of 0.5 must not become the file's.
#[test]
fn rates_are_those_of_the_new_run_and_what_differs_is_told() -> TestResult {
    let trained = Trained::new(DType::F32)?;
    let moved = |config: Config, set: Option<f64>| -> Result<_, Failure> {
        let varmap = model(DType::F32)?;
        let mut optimizer = Optimizer::from_varmap(&varmap, config)?;
        if let Some(lr) = set {
            optimizer.set_learning_rate(lr);
        }
        let restored = optimizer.load(trained.path())?;
        assert_eq!(optimizer.learning_rate(), set.unwrap_or(config.lr));
        optimizer.step(&gradients(&varmap, 2)?)?;
        Ok((weights(&varmap)?, restored.differences.iter().map(ToString::to_string).collect::<Vec<_>>()))
    };
    let (expected, told) = moved(config()?.lr(0.5), None)?;
    assert_eq!(told, ["learning rate was 0.02 and is now 0.5", "lr was 0.02 and is now 0.5"]);
    // The elementwise rate is configured by itself: 0.01 in both.
    let (by_schedule, told) = moved(config()?.elementwise_lr(0.01 * 0.02 / 0.5), Some(0.5))?;
    assert_eq!(told.len(), 2, "{told:?}");
    let up = "layers.0.mlp.up.weight";
    assert_eq!(by_schedule[up], expected[up]);
    for other in [config()?, config()?.lr(0.5).elementwise_lr(0.02), config()?.lr(0.5).weight_decay(0.3)] {
        assert_ne!(moved(other, None)?.0, expected);
    }
    Ok(())
}

#[test]
fn factors_of_thresholds_go_on_unless_they_are_set() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("state");
    let varmap = model(DType::F32)?;
    let config = Config::preset("spectra-adamw")?;
    let mut saved = Optimizer::from_varmap(&varmap, config)?;
    saved.set_clip_factor(0.25)?;
    saved.save(&path)?;
    let mut optimizer = Optimizer::from_varmap(&varmap, config)?;
    assert_eq!(optimizer.load(&path)?.clip_factor, 0.25);
    let mut set = Optimizer::from_varmap(&varmap, config)?;
    set.set_clip_factor(0.5)?;
    let restored = set.load(&path)?;
    assert_eq!(restored.clip_factor, 0.5);
    assert_eq!(restored.to_string(), "restored at step 0; clip factor was 0.25 and is now 0.5");
    Ok(())
}
