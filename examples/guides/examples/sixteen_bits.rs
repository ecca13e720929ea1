//! Trains a network with bf16 weights by a master in f32, by rounding to nearest, and by rounding at random.
//!
//! `cargo run --release --features spectra-guides/candle --example sixteen_bits`

use std::error::Error;
use std::process::ExitCode;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::init::DEFAULT_KAIMING_UNIFORM as KAIMING;
use candle_nn::{Optimizer as _, VarBuilder, VarMap};
use spectra_candle::rules::Rounding;
use spectra_candle::{Config, Optimizer};
use spectra_guides::digits::{CLASSES, Digit, PIXELS, batch, columns, digits};
use spectra_guides::{Guide, Program, losses};

const LAYERS: [(&str, usize, usize); 3] = [("up", PIXELS, 128), ("down", 128, 128), ("head", 128, CLASSES)];

// ANCHOR: forward
/// Weights in 16 bits, arithmetic in 32: gradients come back in 16.
fn forward(vb: &VarBuilder, digits: &[Digit]) -> Result<Tensor> {
    let mut x = Tensor::from_vec(columns(digits).0, (digits.len(), PIXELS), &Device::Cpu)?;
    for (at, (name, inputs, outputs)) in LAYERS.into_iter().enumerate() {
        let weight =
            vb.pp(name).get_with_hints((outputs, inputs), "weight", KAIMING)?.to_dtype(DType::F32)?;
        x = x.matmul(&weight.t()?)?;
        x = if at + 1 < LAYERS.len() { x.relu()? } else { x };
    }
    Ok(x)
}
// ANCHOR_END: forward

fn run(guide: &Guide) -> std::result::Result<(), Box<dyn Error>> {
    let (train, validation) = digits()?;
    let initial = VarMap::new();
    forward(&VarBuilder::from_varmap(&initial, DType::BF16, &Device::Cpu), &train[..1])?;
    let mut curves = Vec::new();
    println!("{:<18} {:>10} {:>12} {:>16}", "weights", "last loss", "validation", "bytes of state");
    // ANCHOR: rounding
    for (name, dtype, rounding) in [
        ("f32", DType::F32, Rounding::Master),           // nothing to round
        ("bf16, master", DType::BF16, Rounding::Master), // the default
        ("bf16, at random", DType::BF16, Rounding::Stochastic { seed: 1 }),
        ("bf16, nearest", DType::BF16, Rounding::Nearest),
    ] {
        let vars = VarMap::new();
        let vb = VarBuilder::from_varmap(&vars, dtype, &Device::Cpu);
        forward(&vb, &train[..1])?; // makes the variables
        for (name, var) in vars.data().lock().unwrap().iter() {
            var.set(&initial.data().lock().unwrap()[name].to_dtype(dtype)?.copy()?)?;
        }
        // Small steps: what is below half a unit in the last place of a bf16 weight is lost by rounding to nearest.
        let config = Config::preset("spectra")?.lr(1e-4).rounding(rounding);
        let mut optimizer = Optimizer::from_varmap(&vars, config)?;
        // ANCHOR_END: rounding
        let loss = |digits: &[Digit]| {
            let classes = Tensor::new(columns(digits).1, &Device::Cpu)?;
            candle_nn::loss::cross_entropy(&forward(&vb, digits)?, &classes)
        };
        let mut run = guide.run(name);
        for step in 1..=guide.steps {
            let loss = loss(&batch(&train, 64, step))?;
            optimizer.backward_step(&loss)?;
            run.step(step, loss.to_scalar::<f32>()?.into())?;
        }
        let validation: f32 = loss(&validation)?.to_scalar()?;
        println!("{name:<18} {:>10.4} {validation:>12.4} {:>16}", run.last(), optimizer.state_bytes());
        curves.push(run.end());
    }
    Ok(guide.picture("sixteen_bits.png", &[losses("Weights of 16 bits", curves)])?)
}

fn main() -> ExitCode {
    let about = "Trains with bf16 weights: a master, rounding to nearest, rounding at random";
    Program { name: "sixteen_bits", about, steps: 400, resumes: false }.main(run)
}
