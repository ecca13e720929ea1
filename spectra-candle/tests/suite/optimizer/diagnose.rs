//! Diagnoses, in candle's tensors. What is found of which figures is tested in the core.

use super::*;
use spectra_candle::diagnosis::{Diagnoses, FindingKind, Severity};
use spectra_candle::plan::Split;
use spectra_candle::rules::Rounding;

fn kinds(seen: &Diagnoses) -> Vec<FindingKind> {
    seen.all().map(|(_, finding)| finding.kind).collect()
}

#[test]
fn a_diagnosed_run_has_the_bits_of_one_that_is_not_and_is_healthy() -> TestResult {
    for dtype in [DType::F32, DType::F64, DType::BF16] {
        for preset in ["spectra", "muon", "adamw", "spectra-adamw", "soap", "dion"] {
            let config = Config::preset(preset)?.lr(0.01).clip_norm(1.0);
            let (seen, alone) = (model(dtype)?, model(dtype)?);
            let mut watched = Optimizer::from_varmap(&seen, config)?;
            let mut unwatched = Optimizer::from_varmap(&alone, config)?;
            for step in 0..3 {
                let grads = gradients(&seen, step)?;
                let diagnoses = watched.diagnose(&grads)?;
                assert_eq!(kinds(&diagnoses), [], "{preset} {dtype:?}: {diagnoses}");
                assert_eq!(diagnoses.steps, step);
                watched.try_step(&grads)?;
                unwatched.try_step(&gradients(&alone, step)?)?;
            }
            assert_eq!(weights(&seen)?, weights(&alone)?, "{preset} {dtype:?}");
        }
    }
    Ok(())
}

#[test]
fn figures_are_those_of_variables_gradients_and_steps() -> TestResult {
    let varmap = model(DType::F64)?;
    let config = Config::preset("spectra")?.lr(0.02);
    let mut optimizer = Optimizer::from_varmap(&varmap, config)?;
    let (name, grads) = ("layers.0.mlp.up.weight", gradients(&varmap, 0)?);
    let seen = optimizer.diagnose(&grads)?;
    let up = seen.block(name).ok_or("no block")?;
    let rms =
        |x: &Tensor| -> candle_core::Result<f64> { Ok(x.sqr()?.mean_all()?.to_scalar::<f64>()?.sqrt()) };
    let before = vars(&varmap)[name].as_tensor().copy()?;
    optimizer.try_step(&grads)?;
    let moved = rms(&(vars(&varmap)[name].as_tensor() - &before)?)?;
    let close = |found: Option<f64>, wanted: f64| (found.unwrap_or(f64::NAN) / wanted - 1.0).abs() < 1e-12;
    assert!(close(up.figures.weight_rms, rms(&before)?), "{up:?}");
    assert!(close(up.figures.gradient_rms, rms(grads.get(&vars(&varmap)[name]).ok_or("no gradient")?)?));
    assert!((up.figures.update_ratio().ok_or("no ratio")? / (moved / rms(&before)?) - 1.0).abs() < 1e-9);
    assert_eq!((up.shape, &*up.reason, &*up.signature), ((12, 8), "matrix", "momentum + tail shrink"));
    assert_eq!(seen.blocks.len(), 6);
    Ok(())
}

#[test]
fn each_block_of_a_variable_is_found_by_its_name() -> TestResult {
    let varmap = model(DType::F32)?;
    let split = Plan::builder().split("layers.0.mlp.up.weight", Split::rows([8, 4]).names(["a", "b"]));
    let mut optimizer = Optimizer::with_plan(&varmap, config()?, &split)?;
    // The rows of block b, and nothing else, have no gradient.
    let var = vars(&varmap)["layers.0.mlp.up.weight"].clone();
    let grads = var.narrow(0, 0, 8)?.sqr()?.sum_all()?.backward()?;
    let seen = optimizer.diagnose(&grads)?;
    assert!(seen.block("layers.0.mlp.up.weight[a]").is_some_and(|block| block.findings.is_empty()), "{seen}");
    let b = seen.block("layers.0.mlp.up.weight[b]").ok_or("no block")?;
    assert_eq!(b.findings[0].kind, FindingKind::ZeroGradient);
    let missing = seen.all().filter(|(_, finding)| finding.kind == FindingKind::MissingGradient).count();
    assert_eq!(missing, 5);
    Ok(())
}

#[test]
fn stagnation_is_found_in_the_variables_type_and_only_by_rounding_to_nearest() -> TestResult {
    for (rounding, found) in [(Rounding::Nearest, true), (Rounding::Master, false)] {
        for (dtype, coarse) in [(DType::BF16, true), (DType::F32, false)] {
            let varmap = model(dtype)?;
            let config = Config::preset("spectra")?.lr(1e-4).rounding(rounding);
            let mut optimizer = Optimizer::from_varmap(&varmap, config)?;
            let seen = optimizer.diagnose(&gradients(&varmap, 0)?)?;
            let up = seen.block("layers.0.mlp.up.weight").ok_or("no block")?;
            let stagnates = up.findings.iter().any(|finding| finding.kind == FindingKind::Stagnation);
            assert_eq!(stagnates, found && coarse, "{rounding:?} {dtype:?}");
        }
    }
    Ok(())
}

#[test]
fn a_gradient_that_is_not_finite_is_a_finding_and_a_wrong_one_an_error() -> TestResult {
    let varmap = model(DType::F32)?;
    let mut optimizer = Optimizer::from_varmap(&varmap, config()?)?;
    let mut grads = gradients(&varmap, 0)?;
    let var = vars(&varmap)["layers.0.mlp.up.weight"].clone();
    grads.insert(&var, (var.as_tensor() * f64::NAN)?);
    let seen = optimizer.diagnose(&grads)?;
    assert_eq!(kinds(&seen), [FindingKind::NonFinite]);
    assert_eq!(seen.worst(), Some(Severity::Error));
    assert!(optimizer.try_step(&grads).is_err());

    grads.insert(&var, Tensor::ones((3, 4), DType::F32, &Device::Cpu)?);
    let error = optimizer.diagnose(&grads).err().ok_or("of another shape")?;
    assert_eq!(error.parameter(), Some("layers.0.mlp.up.weight"), "{error}");
    optimizer.set_learning_rate(-1.0);
    assert!(optimizer.diagnose(&gradients(&varmap, 0)?).is_err());
    Ok(())
}
