//! What is refused, and leaves the optimizer as it was.

use std::io::{Seek, SeekFrom, Write};

use super::*;

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
fn truncated_files_are_refused() -> TestResult {
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
fn every_flipped_bit_is_found() -> TestResult {
    let mut trained = Trained::new(DType::F32)?;
    let whole = std::fs::read(trained.path())?;
    let before = numbers(&trained.optimizer)?;
    let damaged = trained.folder.path().join("damaged");
    std::fs::write(&damaged, &whole)?;
    // In place: a file system may wait for the disk when a file is replaced.
    let mut file = std::fs::OpenOptions::new().write(true).open(&damaged)?;
    let mut put = |position: usize, byte: u8| {
        file.seek(SeekFrom::Start(position as u64))?;
        file.write_all(&[byte])
    };
    let header = 8 + u64::from_le_bytes(whole[..8].try_into()?) as usize;
    // All of the file's header, and some of the numbers and of the description.
    for position in (0..header).chain((header..whole.len()).step_by(31)) {
        for bit in 0..8 {
            put(position, whole[position] ^ (1 << bit))?;
            load_fails(&mut trained.optimizer, &damaged, &format!("byte {position} bit {bit}"))?;
        }
        put(position, whole[position])?;
    }
    assert_eq!(std::fs::read(&damaged)?, whole);
    assert_eq!(numbers(&trained.optimizer)?, before);
    Ok(())
}

#[test]
fn damaged_numbers_name_the_parameter() -> TestResult {
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

/// It could not be loaded; to refuse it when it is saved leaves the last good file.
#[test]
fn a_state_of_nan_is_refused_by_name_when_it_is_saved() -> TestResult {
    let trained = Trained::new(DType::F32)?;
    let whole = std::fs::read(trained.path())?;
    // With the check switched off a NaN gets into the state.
    for (preset, name) in [("adamw", "layers.0.norm.weight"), ("spectra", "layers.1.mlp.down.weight")] {
        let config = Config::preset(preset)?.check_finite(false);
        let mut careless = Optimizer::from_varmap(&trained.varmap, config)?;
        let mut grads = gradients(&trained.varmap, 0)?;
        let var = &vars(&trained.varmap)[name];
        grads.insert(var, (var.as_tensor() * f64::NAN)?);
        careless.step(&grads)?;
        assert_eq!(careless.steps(), 1);
        let refused = [careless.save(trained.path()).err(), careless.state_tensors().err()];
        for error in refused {
            let error = error.ok_or("saved a state that cannot be loaded")?;
            assert_eq!(error.parameter(), Some(name), "{error}");
            assert!(matches!(error.kind(), ErrorKind::NonFinite { .. }), "{error}");
        }
        assert_eq!(std::fs::read(trained.path())?, whole);
    }
    Ok(())
}

/// `VarMap::all_vars` has another order in every process: a state by places in it would land anywhere.
#[test]
fn variables_without_names_have_no_state_to_save() -> TestResult {
    let trained = Trained::new(DType::F32)?;
    let (whole, tensors) = (std::fs::read(trained.path())?, trained.optimizer.state_tensors()?);
    let mut unnamed = Optimizer::new(trained.varmap.all_vars(), config()?)?;
    unnamed.step(&gradients(&trained.varmap, 0)?)?;
    let refused = [
        unnamed.save(trained.path()).err(),
        unnamed.state_tensors().err(),
        unnamed.load(trained.path()).err(),
        unnamed.load_state_tensors(&tensors).err(),
    ];
    for error in refused {
        let error = error.ok_or("a state without names")?;
        assert!(matches!(error.kind(), ErrorKind::State { .. }), "{error}");
        assert!(
            error.to_string().contains("from_varmap") && error.to_string().contains("from_named_vars"),
            "{error}"
        );
    }
    assert_eq!((std::fs::read(trained.path())?, unnamed.steps()), (whole, 1));
    Ok(())
}

#[test]
fn states_of_others_are_refused() -> TestResult {
    let trained = Trained::new(DType::F32)?;
    let path = trained.path();
    // Another recipe.
    let mut adamw = Optimizer::from_varmap(&trained.varmap, Config::preset("adamw")?)?;
    let error = refused(&mut adamw, &path, "recipe")?;
    assert_eq!(error.parameter(), Some("layers.0.mlp.up.weight"), "{error}");
    // Another rank and a wider arithmetic can go on with it.
    let mut optimizer = Optimizer::from_varmap(&trained.varmap, config()?.rank_ratio(0.5))?;
    assert!(optimizer.load(&path)?.fresh.is_empty());
    let double = model(DType::F64)?;
    let mut wider = Optimizer::from_varmap(&double, config()?)?;
    assert!(wider.load(&path)?.fresh.is_empty());
    // A narrower one cannot.
    let wide = path.with_extension("wide");
    wider.save(&wide)?;
    refused(&mut optimizer, &wide, "f32")?;
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
fn a_failed_save_leaves_the_old_file_and_no_other() -> TestResult {
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
