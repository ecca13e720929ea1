//! Safetensors files: what comes back, and what is refused.

use super::*;
use spectra_core::backend::Matrix;
use spectra_core::optimizer::{RestoreOptions, StateDescription, StateHeader};
use std::fs;

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn trained(preset: &str) -> Result<Optimizer<Dense<f64>>, Error> {
    let (mut optimizer, mut x) = (optimizer(Config::preset(preset)?), weights());
    for t in 0..2 {
        step(&mut optimizer, &mut x, &gradients(t))?;
    }
    Ok(optimizer)
}

fn bytes_of(optimizer: &Optimizer<Dense<f64>>) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    optimizer.save(folder.path().join("state"))?;
    Ok(fs::read(folder.path().join("state"))?)
}

#[test]
fn what_is_saved_comes_back() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("state");
    for preset in ["spectra", "ademamix", "muon"] {
        let first = trained(preset)?;
        first.save(&path)?;
        let mut again = optimizer(Config::preset(preset)?);
        assert_eq!(again.load(&path)?.steps, 2);
        assert_eq!(again.snapshot()?, first.snapshot()?);
        // The same state is the same file, however it is written.
        let bytes = fs::read(&path)?;
        again.save(&path)?;
        assert_eq!(fs::read(&path)?, bytes);
        first.snapshot()?.save(&path)?;
        assert_eq!(fs::read(&path)?, bytes);
        assert_eq!(Snapshot::<f64>::load(&path)?, first.snapshot()?);
    }
    let absent = optimizer(Config::preset("adamw")?).load(folder.path().join("absent"));
    assert!(absent.is_err_and(|error| error.to_string().contains("absent")));
    Ok(())
}

/// Every bit of the file is covered by a check: its header, each buffer's numbers, the description.
#[test]
fn every_flipped_bit_and_every_cut_is_found() -> TestResult {
    let bytes = bytes_of(&trained("spectra")?)?;
    Snapshot::<f64>::from_safetensors(&bytes)?;
    let refused = |bytes: &[u8], what: String| match Snapshot::<f64>::from_safetensors(bytes) {
        Ok(_) => panic!("{what} is accepted"),
        Err(error) => assert!(matches!(error.kind(), ErrorKind::State { .. }), "{what}: {error}"),
    };
    let mut damaged = bytes.clone();
    for position in 0..bytes.len() {
        let bit = 1 << (position % 8);
        damaged[position] ^= bit;
        refused(&damaged, format!("byte {position}, bit {bit}"));
        damaged[position] ^= bit;
    }
    for len in (0..bytes.len()).step_by(7) {
        refused(&bytes[..len], format!("{len} bytes"));
    }
    refused(&[&bytes[..], &[0]].concat(), "a byte more".into());
    Ok(())
}

#[test]
fn numbers_widen_and_do_not_narrow() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("state");
    let config = Config::preset("spectra")?;
    let mut single = Optimizer::new(Dense::<f32>::new(), config, specs())?;
    let narrow = |x: &M| {
        let (rows, cols) = x.shape();
        DenseMatrix::from_vec(rows, cols, x.values().iter().map(|x| *x as f32).collect())
    };
    let gradients = gradients(0).each_ref().map(narrow);
    let mut weights = weights().each_ref().map(narrow);
    let mut pairs = Vec::new();
    for (x, g) in weights.iter_mut().zip(&gradients) {
        pairs.push((x.as_mut().map_err(|e| e.to_string())?, g.as_ref().map_err(|e| e.to_string())?));
    }
    single.step(&mut pairs)?;
    single.save(&path)?;
    let mut double = optimizer(config);
    double.load(&path)?;
    for ((_, _, wide), (_, _, own)) in double.buffers().zip(single.buffers()) {
        assert!(wide.values().iter().zip(own.values()).all(|(wide, own)| *wide == f64::from(*own)));
    }
    // A snapshot whose header says another type than it holds is not written.
    assert!(Snapshot::<f64>::load(&path)?.save(&path).is_err());
    double.save(&path)?;
    let before = single.snapshot()?;
    let error = single.load(&path).expect_err("f64 in f32");
    assert!(error.to_string().contains("numbers of another type"), "{error}");
    assert_eq!(single.snapshot()?, before);
    Ok(())
}

/// Tensors under a sound description: each is asked for once, and must be what the description says.
#[test]
fn tensors_of_ones_own_are_checked_against_their_description() -> TestResult {
    let optimizer = trained("spectra")?;
    let mut description = StateDescription::new(optimizer.header()?);
    for (name, slot, matrix) in optimizer.buffers() {
        description.add(name, slot, matrix.values());
    }
    let description = StateDescription::decode(&description.encode()?)?;
    let tensor = |key: &str| {
        let is = |(name, slot, _): &(&str, &str, &M)| StateDescription::key(name, slot) == key;
        optimizer.buffers().find(is).map(|(_, _, matrix)| (matrix.shape(), matrix.values().to_vec()))
    };
    let load = |key: &str| Ok(tensor(key).map(|((rows, cols), values)| (vec![rows, cols], values)));
    assert_eq!(Snapshot::from_tensors(&description, load)?, optimizer.snapshot()?);

    let key = StateDescription::key("mlp", "momentum");
    type Tensor = Option<(Vec<usize>, Vec<f64>)>;
    type Case<'a> = (&'a str, &'a dyn Fn(Vec<f64>) -> Tensor);
    let cases: [Case<'_>; 4] = [
        ("missing", &|_| None),
        ("shape", &|values| Some((vec![20, 12], values))),
        ("shape", &|values| Some((vec![240], values))),
        ("damaged", &|mut values| {
            values[7] = -values[7];
            Some((vec![12, 20], values))
        }),
    ];
    for (word, other) in cases {
        let loaded = Snapshot::from_tensors(&description, |asked| match tensor(asked) {
            Some((_, values)) if asked == key => Ok(other(values)),
            _ => load(asked),
        });
        let error = loaded.expect_err(word);
        assert_eq!(error.parameter(), Some("mlp"), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    // A header that names a buffer twice.
    let mut header: StateHeader = optimizer.header()?;
    header.parameters[1] = header.parameters[0].clone();
    let mut twice = StateDescription::new(header);
    for (name, slot, matrix) in optimizer.buffers() {
        twice.add(name, slot, matrix.values());
    }
    assert!(Snapshot::from_tensors(&twice, load).is_err());
    Ok(())
}

/// NaN has got into the state: the last good file stays.
#[test]
fn a_state_of_nan_is_refused_by_name_when_it_is_saved() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("state");
    let config = Config::preset("adamw")?.check_finite(false);
    let (mut careless, mut x) = (optimizer(config), weights());
    careless.save(&path)?;
    let bytes = fs::read(&path)?;
    let mut poisoned = gradients(0);
    poisoned[1] = M::from_fn(1, 20, |_, j| if j == 3 { f64::NAN } else { 1.0 });
    step(&mut careless, &mut x, &poisoned)?;
    let error = careless.save(&path).expect_err("NaN");
    assert_eq!(error.parameter(), Some("norm"), "{error}");
    assert!(matches!(error.kind(), ErrorKind::NonFinite { .. }), "{error}");
    assert_eq!((fs::read(&path)?, fs::read_dir(folder.path())?.count()), (bytes, 1));
    assert!(careless.load_with(&path, &RestoreOptions::default()).is_ok());
    Ok(())
}
