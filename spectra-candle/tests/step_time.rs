//! Milliseconds per step beside `candle_nn::AdamW`:
//! `cargo test --release -p spectra-candle --test step_time -- --ignored --nocapture`

mod common;

use candle_core::{DType, Device};
use candle_nn::{AdamW, Optimizer as _, VarMap};
use common::gradients;
use spectra_candle::{Config, Optimizer};
use std::time::Instant;

/// The fastest of a few steps, the first (which allocates) left out.
fn milliseconds(mut step: impl FnMut() -> candle_core::Result<()>) -> candle_core::Result<f64> {
    step()?;
    let mut fastest = f64::INFINITY;
    for _ in 0..4 {
        let start = Instant::now();
        step()?;
        fastest = fastest.min(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(fastest)
}

#[test]
#[ignore = "prints figures"]
fn milliseconds_per_step() -> Result<(), Box<dyn std::error::Error>> {
    for dtype in [DType::F32, DType::BF16] {
        let varmap = VarMap::new();
        let init = candle_nn::init::Init::Uniform { lo: -0.02, up: 0.02 };
        varmap.get((4096, 4096), "mlp.weight", init, dtype, &Device::Cpu)?;
        let grads = gradients(&varmap, 0)?;
        let mut theirs = AdamW::new_lr(varmap.all_vars(), 1e-3)?;
        println!("4096 x 4096, {dtype:?}");
        println!("  candle_nn::AdamW   {:6.0} ms", milliseconds(|| theirs.step(&grads))?);
        drop(theirs);
        for preset in ["adamw", "spectra"] {
            for check in [true, false] {
                let config = Config::preset(preset)?.check_finite(check);
                let mut ours = Optimizer::from_varmap(&varmap, config)?;
                let time = milliseconds(|| ours.step(&grads))?;
                println!("  {preset:8} {} {time:6.0} ms", if check { "checked  " } else { "unchecked" });
            }
        }
    }
    Ok(())
}
