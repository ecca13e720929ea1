//! The safetensors file of `spectra-candle`.

use std::collections::HashMap;
use std::fs;

use candle_core::{Device, Tensor, Var};
use spectra_candle::{Optimizer, plan::Plan};

use crate::model::{PARAMETERS, config};

type Failure = Box<dyn std::error::Error>;
type Tensors = HashMap<String, Tensor>;

/// The tensor that describes the others: a checksum in hexadecimal digits, a line break, JSON.
pub const DESCRIPTION: &str = "optimizer.state";

/// A state's file, once as it is and once with the description's checksum set right, so that what lies behind it is
/// reached.
pub fn candle_state(data: &[u8]) -> bool {
    let run = || {
        let accepted = load_file(data)?;
        let Ok(mut tensors) = candle_core::safetensors::load_buffer(data, &Device::Cpu) else {
            return Ok(accepted);
        };
        let Some(description) = tensors.get(DESCRIPTION).and_then(repaired) else { return Ok(accepted) };
        tensors.insert(DESCRIPTION.to_owned(), description);
        Ok::<_, Failure>(load(|optimizer| optimizer.load_state_tensors(&tensors).is_ok())? || accepted)
    };
    run().expect("only loading may fail")
}

/// The file of a trained model.
pub fn candle_state_seed() -> Vec<u8> {
    let run = || {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("state");
        Trained::new()?.optimizer.save(&path)?;
        Ok::<_, Failure>(fs::read(path)?)
    };
    run().expect("a sound model can be saved")
}

fn load_file(data: &[u8]) -> Result<bool, Failure> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("state");
    fs::write(&path, data)?;
    load(|optimizer| optimizer.load(&path).is_ok())
}

/// Loads into a trained model and holds the library to its word.
fn load(load: impl FnOnce(&mut Optimizer) -> bool) -> Result<bool, Failure> {
    let mut trained = Trained::new()?;
    let before = values(&trained.optimizer.state_tensors()?)?;
    let accepted = load(&mut trained.optimizer);
    let after = trained.optimizer.state_tensors()?;
    if accepted {
        let mut again = Trained::new()?;
        again.optimizer.load_state_tensors(&after)?;
        assert_eq!(values(&again.optimizer.state_tensors()?)?, values(&after)?);
    } else {
        assert_eq!(values(&after)?, before);
    }
    trained.step()?;
    Ok(accepted)
}

/// The bits of every tensor.
fn values(tensors: &Tensors) -> Result<Vec<(String, Vec<u64>)>, Failure> {
    let mut values = Vec::new();
    for (name, tensor) in tensors {
        let numbers = tensor.flatten_all()?.to_dtype(candle_core::DType::F64)?.to_vec1::<f64>()?;
        values.push((name.clone(), numbers.into_iter().map(f64::to_bits).collect()));
    }
    values.sort();
    Ok(values)
}

struct Trained {
    vars: Vec<(String, Var)>,
    optimizer: Optimizer,
}

impl Trained {
    fn new() -> Result<Self, Failure> {
        let mut vars = Vec::new();
        for (name, shape) in PARAMETERS {
            let count: usize = shape.iter().product();
            let numbers: Vec<f32> = (0..count).map(|index| (index * 7 % 11) as f32 - 5.0).collect();
            vars.push((name.to_owned(), Var::from_tensor(&Tensor::from_vec(numbers, shape, &Device::Cpu)?)?));
        }
        let optimizer = Optimizer::from_named_vars(vars.clone(), config()?, &Plan::builder())?;
        let mut trained = Self { vars, optimizer };
        trained.step()?;
        trained.step()?;
        Ok(trained)
    }

    fn step(&mut self) -> Result<(), Failure> {
        let mut loss = Tensor::zeros((), candle_core::DType::F32, &Device::Cpu)?;
        for (_, var) in &self.vars {
            loss = (loss + var.as_tensor().sqr()?.sum_all()?)?;
        }
        self.optimizer.try_step(&loss.backward()?)?;
        Ok(())
    }
}

/// The description with the checksum of its text.
pub fn repaired(description: &Tensor) -> Option<Tensor> {
    let bytes = description.flatten_all().ok()?.to_vec1::<u8>().ok()?;
    let text = bytes.split(|byte| *byte == b'\n').nth(1)?;
    let sound = [checksum(text).as_bytes(), b"\n", text].concat();
    Tensor::from_slice(&sound, sound.len(), &Device::Cpu).ok()
}

/// The library's checksum; the corpus' sound file shows if they part ways.
fn checksum(bytes: &[u8]) -> String {
    let mut sum = 0x9e37_79b9_7f4a_7c15_u64;
    let mut add = |word: u64| sum = (sum.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    add(bytes.len() as u64);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        add(u64::from_le_bytes(word));
    }
    format!("{sum:016x}")
}
