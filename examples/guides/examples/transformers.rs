//! Trains a model of candle-transformers as it comes, and shows which of its models can be trained so at all.
//!
//! `cargo run --release --features spectra-guides/transformers --example transformers`

use std::error::Error;
use std::process::ExitCode;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Module, Optimizer as _, VarBuilder, VarMap};
use candle_transformers::models::{efficientvit, llama2_c, qwen2};
use spectra_candle::{Config, Optimizer};
use spectra_guides::digits::{CLASSES, Digit, SIDE, batch, columns, digits};
use spectra_guides::{Guide, Program, losses};

type Outcome<T> = std::result::Result<T, Box<dyn Error>>;

/// The model takes images of 112 x 112.
const TIMES: usize = 14;

// ANCHOR: images
/// Each pixel 14 x 14 times, in three colours: `images x 3 x 112 x 112`.
fn images(digits: &[Digit]) -> Result<Tensor> {
    let (pixels, _) = columns(digits);
    let small = Tensor::from_vec(pixels, (digits.len(), 1, SIDE, SIDE), &Device::Cpu)?;
    let shape = (digits.len(), 3, SIDE * TIMES, SIDE * TIMES);
    ((small.upsample_nearest2d(shape.2, shape.3)?.broadcast_as(shape)?.contiguous()? - 0.3)? * 2.5)?
        .contiguous()
}
// ANCHOR_END: images

fn loss(model: &impl Module, digits: &[Digit]) -> Result<(Tensor, f64)> {
    let (logits, classes) = (model.forward(&images(digits)?)?, columns(digits).1);
    let read = logits.argmax(1)?.to_vec1::<u32>()?;
    let right = read.iter().zip(&classes).filter(|(read, class)| read == class).count();
    let loss = candle_nn::loss::cross_entropy(&logits, &Tensor::new(classes, &Device::Cpu)?)?;
    Ok((loss, right as f64 / digits.len() as f64))
}

/// How many of a model's variables a loss reaches, and how many it does not.
fn reached(vars: &VarMap, loss: &Tensor) -> Outcome<(usize, usize)> {
    let mut optimizer = Optimizer::from_varmap(vars, Config::preset("spectra")?)?;
    optimizer.backward_step(&loss.mean_all()?)?;
    let (all, missing) = (vars.all_vars().len(), optimizer.missing_gradients().len());
    Ok((all - missing, missing))
}

// ANCHOR: which
/// Candle's fused operations (`rms_norm`, `layer_norm`, `softmax_last_dim`, `rope`) have no backward pass and end the graph without a word.
fn which() -> Outcome<()> {
    println!("{:<16} {:>24} {:>18}", "model", "variables with gradient", "without gradient");
    let ids = Tensor::new(&[[1u32, 2, 3, 4]], &Device::Cpu)?;
    let line = |name: &str, (with, without)| println!("{name:<16} {with:>24} {without:>18}");

    let vars = VarMap::new();
    let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
    let config = qwen2::Config {
        vocab_size: 256,
        hidden_size: 32,
        intermediate_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        max_position_embeddings: 16,
        sliding_window: 16,
        max_window_layers: 2,
        tie_word_embeddings: false,
        rope_theta: 1e4,
        rms_norm_eps: 1e-6,
        use_sliding_window: false,
        hidden_act: candle_nn::Activation::Silu,
    };
    let mut model = qwen2::ModelForCausalLM::new(&config, vb)?;
    line("qwen2", reached(&vars, &model.forward(&ids, 0)?)?);

    let vars = VarMap::new();
    let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
    let config =
        llama2_c::Config { vocab_size: 256, seq_len: 16, n_layers: 2, ..llama2_c::Config::tiny_260k() };
    // A builder without tensors: from ours the cache would make its sines and cosines as random variables.
    let none = VarBuilder::from_tensors(Default::default(), DType::F32, &Device::Cpu);
    let mut cache = llama2_c::Cache::new(false, &config, none)?;
    let model = llama2_c::Llama::load(vb, config)?;
    line("llama2_c", reached(&vars, &model.forward(&ids, 0, &mut cache)?)?);

    let vars = VarMap::new();
    let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
    let model = efficientvit::efficientvit(&efficientvit::Config::m0(), CLASSES, vb)?;
    let image = [Digit { pixels: [0.5; SIDE * SIDE], class: 0 }];
    line("efficientvit m0", reached(&vars, &model.forward(&images(&image)?)?)?);
    Ok(())
}
// ANCHOR_END: which

/// The model's batch norms keep their statistics, 0 and 1: with random weights each of 38 branches would triple the variance. Weights
/// from a file do not need this.
fn begin_small(vars: &VarMap) -> Outcome<()> {
    for (name, var) in vars.data().lock().unwrap().iter() {
        let is_branch = !["patch_embed", "patchmerge", "head"].iter().any(|part| name.contains(part));
        if is_branch && name.ends_with("bn.weight") {
            var.set(&(var.ones_like()? * 0.1)?)?;
        }
    }
    Ok(())
}

fn run(guide: &Guide) -> Outcome<()> {
    which()?;
    let (train, validation) = digits()?;
    let mut curves = Vec::new();
    for (name, config) in
        [("adamw", Config::preset("adamw")?.lr(2e-3)), ("spectra", Config::preset("spectra")?.lr(2e-3))]
    {
        // ANCHOR: train
        let vars = VarMap::new();
        let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
        let model = efficientvit::efficientvit(&efficientvit::Config::m0(), CLASSES, vb)?;
        begin_small(&vars)?;
        let mut optimizer = Optimizer::from_varmap(&vars, config)?;
        let mut run = guide.run(name);
        for step in 1..=guide.steps {
            let (loss, _) = loss(&model, &batch(&train, 8, step))?;
            optimizer.backward_step(&loss)?;
            run.step(step, loss.to_scalar::<f32>()?.into())?;
        }
        // ANCHOR_END: train
        let statistics = |name: &&str| name.ends_with("running_mean") || name.ends_with("running_var");
        let missing = optimizer.missing_gradients();
        let all = missing.len();
        println!(
            "{all} variables without a gradient, {} of them batch statistics",
            missing.filter(statistics).count()
        );
        let (_, right) = loss(&model, &validation[..24])?;
        println!("{name}: {:.0} % of 24 new digits in {:.0} s", 100.0 * right, run.seconds());
        curves.push(run.end());
    }
    Ok(guide.picture("transformers.png", &[losses("EfficientViT-M0 of candle-transformers", curves)])?)
}

fn main() -> ExitCode {
    let about = "Trains a model of candle-transformers as it comes";
    Program { name: "transformers", about, steps: 10, resumes: false }.main(run)
}
