//! Candle's AdamW beside ours, and our step on candle's tensors beside the core's on its own memory: milliseconds.
//!
//! `cargo run --release --bin candle_peers -- [ROWS COLS]`

use std::time::Instant;

use candle_core::{DType, Device, Tensor, backprop::GradStore};
use candle_nn::{AdamW, Optimizer as _, VarMap, init::Init};
use spectra_candle::{Config, Optimizer, plan::Rule};
use spectra_core::faer::{Faer, FaerMatrix};
use spectra_core::optimizer::{Optimizer as Core, ParameterSpec};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let (rows, cols) = size()?;
    for dtype in [DType::F32, DType::BF16] {
        println!("{rows} x {cols}, {dtype:?}: milliseconds of the fastest of ten steps");
        let varmap = VarMap::new();
        varmap.get((rows, cols), "mlp.weight", Init::Uniform { lo: -0.02, up: 0.02 }, dtype, &Device::Cpu)?;
        let gradients = gradients(&varmap)?;
        let mut candles = AdamW::new_lr(varmap.all_vars(), 1e-3)?;
        let candles = fastest(|| Ok(candles.step(&gradients)?))?;
        println!("  candle_nn::AdamW {candles:10.2}");
        for preset in ["adamw", "spectra"] {
            let config = Config::preset(preset)?;
            let mut ours = Optimizer::from_varmap(&varmap, config)?;
            let ours = fastest(|| Ok(ours.step(&gradients)?))?;
            print!("  {preset:16} {ours:10.2}   candle's AdamW / this {:6.1}", candles / ours);
            if dtype == DType::F32 {
                let core = core(config, (rows, cols))?;
                print!("   this / the core's own {:5.2}", ours / core);
            }
            println!();
        }
    }
    Ok(())
}

fn size() -> Result<(usize, usize), Failure> {
    let numbers: Result<Vec<usize>, _> = std::env::args().skip(1).map(|text| text.parse()).collect();
    match numbers.as_deref() {
        Ok([]) => Ok((4096, 14336)),
        Ok([rows @ 2..=usize::MAX, cols @ 2..=usize::MAX]) => Ok((*rows, *cols)),
        _ => Err("usage: candle_peers [ROWS COLS], both at least 2".into()),
    }
}

/// Random gradients of all variables.
fn gradients(varmap: &VarMap) -> Result<GradStore, Failure> {
    // An empty store can only be had from a backward pass.
    let mut gradients = Tensor::zeros((), DType::F32, &Device::Cpu)?.backward()?;
    for var in varmap.all_vars() {
        gradients.insert(&var, var.randn_like(0.0, 1.0)?);
    }
    Ok(gradients)
}

/// The core's own step of the same shape.
fn core(config: Config, (rows, cols): (usize, usize)) -> Result<f64, Failure> {
    let spec = ParameterSpec::new("mlp.weight", (rows, cols), Rule::Spectral);
    let mut optimizer = Core::new(Faer::new(), config, [spec])?;
    let entry = |i: usize, j: usize| ((i * 7919 + j * 104_729) % 2003) as f32 / 1001.0 - 1.0;
    let gradient = FaerMatrix::from_fn(rows, cols, entry);
    let mut weights = FaerMatrix::from_fn(rows, cols, |_, _| 0.01);
    fastest(|| Ok(optimizer.par_step(&mut [(&mut weights, &gradient)])?))
}

/// In milliseconds; the first step, which allocates, is left out.
fn fastest(mut step: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    step()?;
    let mut fastest = f64::INFINITY;
    for _ in 0..10 {
        let start = Instant::now();
        step()?;
        fastest = fastest.min(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(fastest)
}
