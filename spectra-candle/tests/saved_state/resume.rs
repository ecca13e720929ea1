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
            optimizer.set_learning_rate(9.0);
            if by_file {
                optimizer.load(first.path())?;
            } else {
                optimizer.load_state_tensors(&tensors)?;
            }
            assert_eq!((optimizer.steps(), optimizer.learning_rate()), (2, 0.02));
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
    assert_eq!((metadata["version"].as_str(), metadata["step"].as_str()), ("1", "2"));
    assert_eq!(metadata["recipes"], "adam + identity; momentum + tail shrink");
    assert_eq!(metadata["plan"].len(), 16);
    Ok(())
}
