//! Swaps `AdamW` for ours and then for tail shrink and Muon, on one small network: four curves in one picture.
//!
//! `cargo run --release --features spectra-guides/candle --example swap`

use std::error::Error;
use std::process::ExitCode;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{AdamW, Module, Optimizer as _, ParamsAdamW, Sequential, VarBuilder, VarMap, linear, seq};
use spectra_candle::plan::Plan;
use spectra_candle::{Config, Optimizer};
use spectra_guides::digits::{CLASSES, Digit, PIXELS, batch, columns, digits};
use spectra_guides::{Guide, Program, losses};

const WEIGHT_DECAY: f64 = 0.01;

// ANCHOR: model
fn model(vb: VarBuilder) -> Result<Sequential> {
    let (first, second) = (linear(PIXELS, 128, vb.pp("up"))?, linear(128, 128, vb.pp("down"))?);
    let head = linear(128, CLASSES, vb.pp("head"))?;
    Ok(seq().add(first).add_fn(|x| x.relu()).add(second).add_fn(|x| x.relu()).add(head))
}

fn loss(model: &Sequential, digits: &[Digit]) -> Result<Tensor> {
    let (pixels, classes) = columns(digits);
    let x = Tensor::from_vec(pixels, (digits.len(), PIXELS), &Device::Cpu)?;
    candle_nn::loss::cross_entropy(&model.forward(&x)?, &Tensor::new(classes, &Device::Cpu)?)
}
// ANCHOR_END: model

/// Any optimizer of candle's trait, ours too.
type BackwardStep = Box<dyn FnMut(&Tensor) -> Result<()>>;
type Make = fn(&VarMap) -> std::result::Result<BackwardStep, Box<dyn Error>>;

// ANCHOR: swap
fn candles_adamw(vars: &VarMap) -> std::result::Result<AdamW, Box<dyn Error>> {
    Ok(AdamW::new(
        vars.all_vars(),
        ParamsAdamW { lr: 1e-3, weight_decay: WEIGHT_DECAY, ..Default::default() },
    )?)
}

fn our_adamw(vars: &VarMap) -> std::result::Result<Optimizer, Box<dyn Error>> {
    let config = Config::preset("adamw")?.lr(1e-3).weight_decay(WEIGHT_DECAY);
    // Ours leaves norms and biases alone; PyTorch's and candle's decay everything.
    let all = Plan::builder().group("*", |g| g.weight_decay(WEIGHT_DECAY));
    Ok(Optimizer::with_plan(vars, config, &all)?)
}

fn tail_shrink(vars: &VarMap) -> std::result::Result<Optimizer, Box<dyn Error>> {
    // Its steps have a root mean square of 0.2 lr; AdamW's begin with 1 lr.
    let config = Config::preset("spectra")?.lr(5e-3).elementwise_lr(1e-3).weight_decay(WEIGHT_DECAY);
    Ok(Optimizer::from_varmap(vars, config)?)
}

fn muon(vars: &VarMap) -> std::result::Result<Optimizer, Box<dyn Error>> {
    // The steps of Muon's matrices are larger than those of Adam's vectors.
    let config = Config::preset("muon")?.lr(0.02).elementwise_lr(1e-3).weight_decay(WEIGHT_DECAY);
    Ok(Optimizer::from_varmap(vars, config)?)
}
// ANCHOR_END: swap

fn boxed<O: candle_nn::Optimizer + 'static>(mut optimizer: O) -> BackwardStep {
    Box::new(move |loss| optimizer.backward_step(loss))
}

fn run(guide: &Guide) -> std::result::Result<(), Box<dyn Error>> {
    let (train, validation) = digits()?;
    let initial = VarMap::new();
    model(VarBuilder::from_varmap(&initial, DType::F32, &Device::Cpu))?;
    println!("{}", tail_shrink(&initial)?.plan_table());
    let optimizers: [(&str, Make); 4] = [
        ("candle's AdamW", |vars| Ok(boxed(candles_adamw(vars)?))),
        ("our adamw", |vars| Ok(boxed(our_adamw(vars)?))),
        ("spectra", |vars| Ok(boxed(tail_shrink(vars)?))),
        ("muon", |vars| Ok(boxed(muon(vars)?))),
    ];
    let mut curves = Vec::new();
    println!("{:<16} {:>10} {:>12} {:>8}", "optimizer", "last loss", "validation", "seconds");
    for (name, make) in optimizers {
        let vars = VarMap::new();
        let model = model(VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu))?;
        copy(&initial, &vars)?;
        let mut backward_step = make(&vars)?;
        let mut run = guide.run(name);
        // ANCHOR: loop
        for step in 1..=guide.steps {
            let loss = loss(&model, &batch(&train, 64, step))?;
            backward_step(&loss)?;
            run.step(step, loss.to_scalar::<f32>()?.into())?;
        }
        // ANCHOR_END: loop
        let validation: f32 = loss(&model, &validation)?.to_scalar()?;
        println!("{name:<16} {:>10.4} {validation:>12.4} {:>8.1}", run.last(), run.seconds());
        curves.push(run.end());
    }
    let apart = curves[0].1.iter().zip(&curves[1].1).map(|(a, b)| (a.1 - b.1).abs()).fold(0.0, f64::max);
    println!("candle's AdamW and ours: losses differ by at most {apart:.1e}");
    Ok(guide.picture("swap.png", &[losses("One network, four optimizers", curves)])?)
}

/// The same initial weights for all.
fn copy(from: &VarMap, to: &VarMap) -> Result<()> {
    let (from, to) = (from.data().lock().unwrap(), to.data().lock().unwrap());
    to.iter().try_for_each(|(name, var)| var.set(&from[name].copy()?))
}

fn main() -> ExitCode {
    let about = "Swaps AdamW for ours, then for tail shrink and Muon";
    Program { name: "swap", about, steps: 300, resumes: false }.main(run)
}
