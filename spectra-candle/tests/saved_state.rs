//! Saved states: what comes back, and what is refused.

mod common;

use candle_core::{DType, Device, Tensor};
use candle_nn::{Optimizer as _, VarMap};
use common::{gradients, model, vars, weights};
use spectra_candle::{Config, ErrorKind, Optimizer};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

type Failure = Box<dyn std::error::Error>;
type Anyhow = Result<(), Failure>;

fn config() -> Result<Config, spectra_candle::Error> {
    Ok(Config::preset("spectra")?.lr(0.02).elementwise_lr(0.01).weight_decay(0.1).clip_norm(1.0))
}

/// A model after two steps, its optimizer, and the file of its state.
struct Trained {
    varmap: VarMap,
    optimizer: Optimizer,
    folder: tempfile::TempDir,
}

impl Trained {
    fn new(dtype: DType) -> Result<Self, Failure> {
        let varmap = model(dtype)?;
        let mut optimizer = Optimizer::from_varmap(&varmap, config()?)?;
        for step in 0..2 {
            optimizer.step(&gradients(&varmap, step)?)?;
        }
        let trained = Self { varmap, optimizer, folder: tempfile::tempdir()? };
        trained.optimizer.save(trained.path())?;
        Ok(trained)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("state.safetensors")
    }
}

fn copy_weights(from: &VarMap, to: &VarMap) -> candle_core::Result<()> {
    vars(from).iter().try_for_each(|(name, var)| vars(to)[name].set(&var.copy()?))
}

#[test]
fn training_goes_on_with_the_same_bits() -> Anyhow {
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

#[test]
fn a_state_before_the_first_step_and_one_after_a_missing_gradient() -> Anyhow {
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

/// Everything in the state, to compare.
fn numbers(optimizer: &Optimizer) -> Result<Vec<(String, Vec<f64>)>, Failure> {
    let mut tensors: Vec<_> = optimizer.state_tensors()?.into_iter().collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let values = |t: &Tensor| t.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    tensors.iter().map(|(name, tensor)| Ok((name.clone(), values(tensor)?))).collect()
}

/// A load must fail with an error of kind `State`, and change nothing.
fn refused(optimizer: &mut Optimizer, path: &Path, what: &str) -> Result<spectra_candle::Error, Failure> {
    let before = numbers(optimizer)?;
    let error = load_fails(optimizer, path, what)?;
    assert_eq!(numbers(optimizer)?, before, "{what}: half loaded");
    Ok(error)
}

fn load_fails(optimizer: &mut Optimizer, path: &Path, what: &str) -> Result<spectra_candle::Error, Failure> {
    let Err(error) = optimizer.load(path) else { return Err(format!("{what}: accepted").into()) };
    assert!(matches!(error.kind(), ErrorKind::State { .. }), "{what}: {error}");
    Ok(error)
}

#[test]
fn truncated_files_are_refused() -> Anyhow {
    let mut trained = Trained::new(DType::F32)?;
    let whole = std::fs::read(trained.path())?;
    let before = numbers(&trained.optimizer)?;
    let (damaged, mut tried) = (trained.folder.path().join("damaged"), 0);
    for len in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
        std::fs::write(&damaged, &whole[..len])?;
        load_fails(&mut trained.optimizer, &damaged, &format!("{len} bytes"))?;
        tried += 1;
    }
    let mut longer = whole.clone();
    longer.push(0);
    std::fs::write(&damaged, &longer)?;
    load_fails(&mut trained.optimizer, &damaged, "one byte more")?;
    assert!(tried > 40, "{tried}");
    assert_eq!(numbers(&trained.optimizer)?, before);
    std::fs::write(&damaged, &whole)?;
    trained.optimizer.load(&damaged)?;
    Ok(())
}

#[test]
fn every_flipped_byte_is_found() -> Anyhow {
    let mut trained = Trained::new(DType::F32)?;
    let whole = std::fs::read(trained.path())?;
    let before = numbers(&trained.optimizer)?;
    let damaged = trained.folder.path().join("damaged");
    let header = 8 + u64::from_le_bytes(whole[..8].try_into()?) as usize;
    let padding = whole[..header].iter().rev().take_while(|b| **b == b' ').count();
    // All of the file's header, and every seventh byte of the numbers and of the description.
    let mut positions: Vec<usize> = (0..header - padding).collect();
    positions.extend((header..whole.len()).step_by(7));
    for position in positions {
        for bit in [1u8, 0x20, 0x80] {
            let mut bytes = whole.clone();
            bytes[position] ^= bit;
            std::fs::write(&damaged, &bytes)?;
            load_fails(&mut trained.optimizer, &damaged, &format!("byte {position} bit {bit}"))?;
        }
    }
    assert_eq!(numbers(&trained.optimizer)?, before);
    Ok(())
}

#[test]
fn damaged_numbers_name_the_parameter() -> Anyhow {
    let mut trained = Trained::new(DType::F32)?;
    for (key, name) in [
        ("optimizer.layers.0.mlp.up.weight.momentum", "layers.0.mlp.up.weight"),
        ("optimizer.layers.0.mlp.up.weight.subspace", "layers.0.mlp.up.weight"),
        ("optimizer.scale.second_moment", "scale"),
    ] {
        let whole = trained.optimizer.state_tensors()?;
        let tensor = &whole[key];
        let mut cases: Vec<(&str, Option<Tensor>)> = vec![("missing", None)];
        cases.push(("another value", Some((tensor + 1.0)?)));
        cases.push(("another type", Some(tensor.to_dtype(DType::F64)?)));
        cases.push(("another shape", Some(tensor.unsqueeze(0)?)));
        cases.push(("not a number", Some((tensor * f64::NAN)?)));
        for (what, tensor) in cases {
            let mut tensors = whole.clone();
            match tensor {
                Some(tensor) => tensors.insert(key.into(), tensor),
                None => tensors.remove(key),
            };
            let before = numbers(&trained.optimizer)?;
            let error = trained.optimizer.load_state_tensors(&tensors).expect_err(what);
            assert_eq!(error.parameter(), Some(name), "{what}: {error}");
            assert!(matches!(error.kind(), ErrorKind::State { .. }), "{what}: {error}");
            assert_eq!(numbers(&trained.optimizer)?, before, "{what}");
        }
    }
    Ok(())
}

#[test]
fn a_state_of_nan_is_refused_by_name() -> Anyhow {
    let trained = Trained::new(DType::F32)?;
    // With the check switched off a NaN gets into the state.
    let adamw = || Ok::<_, spectra_candle::Error>(Config::preset("adamw")?.check_finite(false));
    let mut careless = Optimizer::from_varmap(&trained.varmap, adamw()?)?;
    let mut grads = gradients(&trained.varmap, 0)?;
    let norm = &vars(&trained.varmap)["layers.0.norm.weight"];
    grads.insert(norm, (norm.as_tensor() * f64::NAN)?);
    careless.step(&grads)?;
    careless.save(trained.path())?;
    let mut optimizer = Optimizer::from_varmap(&trained.varmap, adamw()?)?;
    let error = refused(&mut optimizer, &trained.path(), "NaN")?;
    assert_eq!(error.parameter(), Some("layers.0.norm.weight"), "{error}");
    Ok(())
}

#[test]
fn states_of_others_are_refused() -> Anyhow {
    let trained = Trained::new(DType::F32)?;
    let path = trained.path();
    // Another recipe.
    let mut adamw = Optimizer::from_varmap(&trained.varmap, Config::preset("adamw")?)?;
    let error = refused(&mut adamw, &path, "recipe")?;
    assert_eq!(error.parameter(), Some("layers.0.mlp.up.weight"), "{error}");
    // Another rank.
    let mut config_of_rank = config()?;
    if let spectra_core::maps::SpectralMap::TailShrink(map) = &mut config_of_rank.spectral.map {
        map.rank_ratio = 0.5;
    }
    let mut optimizer = Optimizer::from_varmap(&trained.varmap, config_of_rank)?;
    refused(&mut optimizer, &path, "rank")?;
    // Another arithmetic.
    let double = model(DType::F64)?;
    refused(&mut Optimizer::from_varmap(&double, config()?)?, &path, "f64")?;
    // One name more, another name, another shape.
    let other = model(DType::F32)?;
    other.get(3, "more", candle_nn::init::ZERO, DType::F32, &Device::Cpu)?;
    refused(&mut Optimizer::from_varmap(&other, config()?)?, &path, "one more")?;
    for (name, shape) in [("layers.1.other.weight", [8, 12]), ("layers.1.mlp.down.weight", [12, 8])] {
        let other = model(DType::F32)?;
        other.data().lock().unwrap().remove("layers.1.mlp.down.weight");
        other.get(&shape[..], name, candle_nn::init::ZERO, DType::F32, &Device::Cpu)?;
        let error = refused(&mut Optimizer::from_varmap(&other, config()?)?, &path, name)?;
        assert_eq!(error.parameter(), Some(name), "{error}");
    }
    // Files of something else.
    let mut optimizer = Optimizer::from_varmap(&trained.varmap, config()?)?;
    trained.varmap.save(&path)?;
    refused(&mut optimizer, &path, "weights")?;
    std::fs::write(&path, b"")?;
    refused(&mut optimizer, &path, "empty")?;
    std::fs::write(&path, [b'{'; 4096])?;
    refused(&mut optimizer, &path, "text")?;
    assert!(optimizer.load(path.with_extension("absent")).is_err_and(|e| e.to_string().contains("absent")));
    assert!(optimizer.load_state_tensors(&HashMap::new()).is_err());
    Ok(())
}

#[test]
fn one_file_for_model_and_optimizer() -> Anyhow {
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
fn the_file_describes_itself() -> Anyhow {
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

#[test]
fn a_failed_save_leaves_the_old_file_and_no_other() -> Anyhow {
    let trained = Trained::new(DType::F32)?;
    let whole = std::fs::read(trained.path())?;
    // A folder that is none.
    let error = trained.optimizer.save(trained.path().join("below")).expect_err("refused");
    assert!(error.to_string().contains("below"), "{error}");
    assert!(trained.optimizer.save(trained.folder.path().join("absent/state")).is_err());
    // A folder in the file's place.
    std::fs::create_dir(trained.folder.path().join("folder"))?;
    assert!(trained.optimizer.save(trained.folder.path().join("folder")).is_err());
    assert_eq!(std::fs::read(trained.path())?, whole);
    assert_eq!(std::fs::read_dir(trained.folder.path())?.count(), 2);
    Ok(())
}
