//! Fine-tunes a frozen network by low-rank adapters: base weights from a safetensors file, adapters saved alone, a run that goes on
//! with the same bits after it was killed.
//!
//! `cargo run --release --features spectra-guides/candle --example lora`, and with `-- --resume`

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{Optimizer as _, VarBuilder, VarMap};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use spectra_candle::plan::Plan;
use spectra_candle::{Config, Optimizer};
use spectra_examples::{Failure, write_whole};
use spectra_guides::digits::{CLASSES, Digit, PIXELS, batch, columns, digits};
use spectra_guides::{Guide, Program, Run, losses};

type Outcome<T> = std::result::Result<T, Box<dyn Error>>;
type Tensors = HashMap<String, Tensor>;
/// `LAYER.lora_A.weight`, rank x in, and `LAYER.lora_B.weight`, out x rank, as PEFT names them.
type Adapters = BTreeMap<String, Var>;

const LAYERS: [(&str, usize, usize); 3] = [("up", PIXELS, 128), ("down", 128, 128), ("head", 128, CLASSES)];
const RANK: usize = 4;
/// A checkpoint at every so many steps.
const EVERY: usize = 20;
const BASE: &str = "base.safetensors";
const CHECKPOINT: &str = "checkpoint.safetensors";
const ADAPTERS: &str = "adapters.safetensors";

/// The base network, with adapters or without.
struct Model {
    base: Tensors,
    adapters: Adapters,
}

// ANCHOR: model
impl Model {
    fn base(&self, name: String) -> Result<&Tensor> {
        self.base.get(&name).ok_or_else(|| candle_core::Error::Msg(format!("the base has no {name}")))
    }

    /// `W x + b`, and `B A x` where there are adapters. The base weights are tensors, not variables: no optimizer ever sees them.
    fn linear(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        let weight = self.base(format!("{name}.weight"))?;
        let y = x.matmul(&weight.t()?)?.broadcast_add(self.base(format!("{name}.bias"))?)?;
        let factor = |factor: &str| self.adapters.get(&format!("{name}.{factor}.weight"));
        let (Some(a), Some(b)) = (factor("lora_A"), factor("lora_B")) else { return Ok(y) };
        y + x.matmul(&a.t()?)?.matmul(&b.t()?)?
    }

    fn forward(&self, digits: &[Digit]) -> Result<Tensor> {
        let (pixels, _) = columns(digits);
        let x = Tensor::from_vec(pixels, (digits.len(), PIXELS), &Device::Cpu)?;
        let x = self.linear("up", &x)?.relu()?;
        self.linear("head", &self.linear("down", &x)?.relu()?)
    }
    // ANCHOR_END: model

    fn loss(&self, digits: &[Digit]) -> Result<Tensor> {
        candle_nn::loss::cross_entropy(&self.forward(digits)?, &Tensor::new(columns(digits).1, &Device::Cpu)?)
    }

    /// The share of the digits that it reads rightly, in percent.
    fn accuracy(&self, digits: &[Digit]) -> Result<f64> {
        let read = self.forward(digits)?.argmax(1)?.to_vec1::<u32>()?;
        let right = read.iter().zip(columns(digits).1).filter(|(read, class)| *read == class).count();
        Ok(100.0 * right as f64 / digits.len() as f64)
    }
}

/// There is no network for weights here: a base is trained for a few seconds and saved.
fn make_base(path: &Path, train: &[Digit]) -> Outcome<()> {
    let vars = VarMap::new();
    let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
    for (name, inputs, outputs) in LAYERS {
        candle_nn::linear(inputs, outputs, vb.pp(name))?;
    }
    let base = vars
        .data()
        .lock()
        .unwrap()
        .iter()
        .map(|(name, var)| (name.clone(), var.as_tensor().clone()))
        .collect();
    let model = Model { base, adapters: Adapters::new() };
    let mut optimizer = Optimizer::from_varmap(&vars, Config::preset("spectra")?.lr(1e-3))?;
    let mut run = Run::begin("the base", 300, 0);
    for step in 1..=300 {
        let loss = model.loss(&batch(train, 64, step))?;
        optimizer.backward_step(&loss)?;
        run.step(step, loss.to_scalar::<f32>()?.into())?;
    }
    run.end();
    save(path, &model.base)
}

// ANCHOR: load
/// Reads the base and makes adapters and their optimizer.
fn load(base: &Path) -> Outcome<(Model, Optimizer)> {
    let base = candle_core::safetensors::load(base, &Device::Cpu)
        .map_err(|error| Failure::input(format!("cannot read the base {}: {error}", base.display())))?;
    let (mut adapters, mut draws) = (Adapters::new(), StdRng::seed_from_u64(1));
    for (name, inputs, outputs) in LAYERS {
        let bound = 1.0 / (inputs as f32).sqrt();
        let a = (0..RANK * inputs).map(|_| draws.random_range(-bound..bound)).collect();
        let a = Var::from_vec(a, (RANK, inputs), &Device::Cpu)?;
        let b = Var::zeros((outputs, RANK), DType::F32, &Device::Cpu)?; // begins as the base does
        adapters.extend([(format!("{name}.lora_A.weight"), a), (format!("{name}.lora_B.weight"), b)]);
    }
    // Factors of a low-rank map take AdamW, by their names; those that begin at zero learn faster (LoRA+, 2402.12354).
    let plan = Plan::builder().group("*.lora_A.*", |g| g.lr(1.0)).group("*.lora_B.*", |g| g.lr(4.0));
    let config = Config::preset("adamw")?.lr(2e-3).weight_decay(0.0);
    let optimizer = Optimizer::from_named_vars(adapters.clone(), config, &plan)?;
    Ok((Model { base, adapters }, optimizer))
}
// ANCHOR_END: load

fn tensors(adapters: &Adapters) -> Tensors {
    adapters.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect()
}

/// Replaces a file in one step.
fn save(path: &Path, tensors: &Tensors) -> Outcome<()> {
    let failed = |error: &dyn Error| Failure::run(format!("cannot write {}: {error}", path.display()));
    let folder = path.parent().unwrap_or(Path::new("."));
    let folder = tempfile::tempdir_in(folder).map_err(|error| failed(&error))?;
    let written = folder.path().join("tensors");
    candle_core::safetensors::save(tensors, &written).map_err(|error| failed(&error))?;
    Ok(write_whole(path, &std::fs::read(written)?)?)
}

// ANCHOR: checkpoint
/// Adapters and optimizer in one file: a kill leaves both of one step, or both of another.
fn save_checkpoint(path: &Path, adapters: &Adapters, optimizer: &Optimizer) -> Outcome<()> {
    let mut checkpoint = optimizer.state_tensors()?; // their names begin with `optimizer.`
    checkpoint.extend(tensors(adapters));
    save(path, &checkpoint)
}

/// The step to go on from.
fn load_checkpoint(path: &Path, adapters: &Adapters, optimizer: &mut Optimizer) -> Outcome<usize> {
    let checkpoint = candle_core::safetensors::load(path, &Device::Cpu).map_err(|error| {
        Failure::input(format!("cannot go on from {}: {error}; run without --resume first", path.display()))
    })?;
    for (name, var) in adapters {
        let saved =
            checkpoint.get(name).ok_or_else(|| Failure::input(format!("the checkpoint has no {name}")))?;
        var.set(saved)?;
    }
    optimizer.load_state_tensors(&checkpoint)?;
    Ok(optimizer.steps() as usize)
}
// ANCHOR_END: checkpoint

/// Trains from the step after `done` on.
fn train(
    model: &Model,
    optimizer: &mut Optimizer,
    (digits, run, checkpoint): (&[Digit], &mut Run, &Path),
    steps: std::ops::RangeInclusive<usize>,
) -> Outcome<()> {
    // ANCHOR: loop
    for step in steps {
        let loss = model.loss(&batch(digits, 64, step))?; // the batch follows from the step: nothing else to save
        optimizer.backward_step(&loss)?;
        run.step(step, loss.to_scalar::<f32>()?.into())?;
        if step % EVERY == 0 {
            save_checkpoint(checkpoint, &model.adapters, optimizer)?;
        }
    }
    // ANCHOR_END: loop
    Ok(())
}

fn run(guide: &Guide) -> Outcome<()> {
    let (upright, held_back) = digits()?;
    if !guide.path(BASE).exists() {
        println!("no {} yet: trains a base on upright digits and saves it", guide.path(BASE).display());
        make_base(&guide.path(BASE), &upright)?;
    }
    let turned = |digits: &[Digit]| digits.iter().map(Digit::turned).collect::<Vec<_>>();
    let (digits, validation) = (turned(&upright), turned(&held_back));

    let (model, mut optimizer) = load(&guide.path(BASE))?;
    let checkpoint = guide.path(CHECKPOINT);
    let done = if guide.resume { load_checkpoint(&checkpoint, &model.adapters, &mut optimizer)? } else { 0 };
    if done > guide.steps {
        return Err(
            Failure::input(format!("the checkpoint is of step {done}: pass more --steps than that")).into()
        );
    }
    println!("{}", optimizer.plan_table());
    let before = model.accuracy(&validation)?;
    let mut run = Run::begin("adapters", guide.steps, done);
    train(&model, &mut optimizer, (&digits, &mut run, &checkpoint), done + 1..=guide.steps)?;
    println!("turned digits read rightly: {before:.1} % before, {:.1} % after", model.accuracy(&validation)?);
    println!("upright ones: {:.1} %", model.accuracy(&held_back)?);

    save(&guide.path(ADAPTERS), &tensors(&model.adapters))?;
    let size = |name: &str| std::fs::metadata(guide.path(name)).map_or(0, |file| file.len());
    println!("{ADAPTERS}: {} bytes; {BASE}: {} bytes", size(ADAPTERS), size(BASE));
    Ok(guide.picture("lora.png", &[losses("Adapters of rank 4 on turned digits", vec![run.end()])])?)
}

fn main() -> ExitCode {
    let about = "Fine-tunes low-rank adapters on a frozen network";
    Program { name: "lora", about, steps: 300, resumes: true }.main(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(path: &Path) -> Vec<u8> {
        std::fs::read(path).expect("a file")
    }

    /// The adapters after all steps; killed after step 27, of which the checkpoint of step 20 is left, if asked.
    fn adapters(folder: &Path, is_killed: bool) -> Vec<u8> {
        let (digits, _) = digits().expect("digits");
        let (base, checkpoint) = (folder.join(BASE), folder.join(CHECKPOINT));
        let (mut model, mut optimizer) = load(&base).expect("a base");
        let mut run = Run::begin("test", 2 * EVERY, 0);
        let mut done = 0;
        if is_killed {
            train(&model, &mut optimizer, (&digits, &mut run, &checkpoint), 1..=EVERY + 7).expect("a run");
            (model, optimizer) = load(&base).expect("a base");
            done = load_checkpoint(&checkpoint, &model.adapters, &mut optimizer).expect("a checkpoint");
            assert_eq!(done, EVERY);
        }
        let rest = done + 1..=2 * EVERY;
        train(&model, &mut optimizer, (&digits, &mut run, &checkpoint), rest).expect("the rest");
        save(&folder.join(ADAPTERS), &tensors(&model.adapters)).expect("a file");
        bytes(&folder.join(ADAPTERS))
    }

    #[test]
    fn a_killed_run_goes_on_with_the_same_bits() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = folder.path().join(BASE);
        let (digits, _) = digits().expect("digits");
        make_base(&base, &digits).expect("a base");
        let before = bytes(&base);
        let whole = adapters(folder.path(), false);
        assert_eq!(adapters(folder.path(), true), whole);
        assert_eq!(bytes(&base), before, "the base is only read");
        let saved =
            candle_core::safetensors::load(folder.path().join(ADAPTERS), &Device::Cpu).expect("adapters");
        assert_eq!(saved.len(), 2 * LAYERS.len(), "the adapters alone");
    }

    #[test]
    fn what_is_missing_is_said_by_its_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = load(&folder.path().join(BASE)).err().expect("no base");
        assert!(error.to_string().contains(BASE), "{error}");
        let base = folder.path().join(BASE);
        make_base(&base, &digits().expect("digits").0).expect("a base");
        let (model, mut optimizer) = load(&base).expect("a base");
        let missing = folder.path().join(CHECKPOINT);
        let error = load_checkpoint(&missing, &model.adapters, &mut optimizer).unwrap_err();
        assert!(error.to_string().contains("--resume"), "{error}");
    }
}
