//! A decoder block with fused grouped-query attention and stacked experts on the King James text: what the plan makes of it, what it
//! has to be told, and what that does.
//!
//! `cargo run --release --features spectra-guides/candle --example moe`

use std::error::Error;
use std::process::ExitCode;

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::ops::{rms_norm_slow, softmax};
use candle_nn::{
    Embedding, Init, Linear, Module, Optimizer as _, VarBuilder, VarMap, embedding, linear_no_bias,
};
use spectra_candle::plan::{Plan, PlanBuilder, Split};
use spectra_candle::{Config, Optimizer};
use spectra_examples::batches::training_batch;
use spectra_examples::{Batch, Text};
use spectra_guides::{Guide, Program, losses};

const WIDTH: usize = 64;
const HEADS: usize = 4;
/// Each half of the query heads shares keys and values.
const KEY_HEADS: usize = 2;
const HEAD: usize = WIDTH / HEADS;
const EXPERTS: usize = 4;
const CONTEXT: usize = 64;

// ANCHOR: model
struct Block {
    embedding: Embedding,
    norms: [Tensor; 3],
    /// Queries, keys and values in one matrix, `(64 + 32 + 32) x 64`.
    qkv: Linear,
    output: Linear,
    router: Linear,
    /// One tensor for all experts, `4 x 128 x 64`, and one the other way.
    up: Tensor,
    down: Tensor,
    head: Linear,
}

impl Block {
    fn new(vb: &VarBuilder) -> Result<Self> {
        let normal = |inputs: usize| Init::Randn { mean: 0.0, stdev: 1.0 / (inputs as f64).sqrt() };
        let layer = vb.pp("layers.0");
        let norm = |vb: VarBuilder| vb.get_with_hints(WIDTH, "weight", Init::Const(1.0));
        let experts = layer.pp("moe.experts");
        Ok(Self {
            embedding: embedding(256, WIDTH, vb.pp("embed_tokens"))?,
            norms: [norm(layer.pp("norm_1"))?, norm(layer.pp("norm_2"))?, norm(vb.pp("norm"))?],
            qkv: linear_no_bias(WIDTH, WIDTH + 2 * KEY_HEADS * HEAD, layer.pp("attn.qkv"))?,
            output: linear_no_bias(WIDTH, WIDTH, layer.pp("attn.o_proj"))?,
            router: linear_no_bias(WIDTH, EXPERTS, layer.pp("moe.router"))?,
            up: experts.get_with_hints((EXPERTS, 2 * WIDTH, WIDTH), "up", normal(WIDTH))?,
            down: experts.get_with_hints((EXPERTS, WIDTH, 2 * WIDTH), "down", normal(2 * WIDTH))?,
            head: linear_no_bias(WIDTH, 256, vb.pp("lm_head"))?,
        })
    }

    // ANCHOR_END: model
    fn attention(&self, x: &Tensor) -> Result<Tensor> {
        let (sequences, context, _) = x.dims3()?;
        let fused = self.qkv.forward(x)?;
        let heads = |from: usize, heads: usize| {
            let part = fused.narrow(D::Minus1, from, heads * HEAD)?.contiguous()?;
            part.reshape((sequences, context, heads, HEAD))?.transpose(1, 2)?.contiguous()
        };
        let (q, k) = (heads(0, HEADS)?, heads(WIDTH, KEY_HEADS)?);
        let v = heads(WIDTH + KEY_HEADS * HEAD, KEY_HEADS)?;
        let group = |x: &Tensor| {
            let shape = (sequences, KEY_HEADS, HEADS / KEY_HEADS, context, HEAD);
            x.unsqueeze(2)?.broadcast_as(shape)?.reshape((sequences, HEADS, context, HEAD))?.contiguous()
        };
        let past: Vec<f32> = (0..context * context)
            .map(|at| if at % context > at / context { f32::NEG_INFINITY } else { 0.0 })
            .collect();
        let past = Tensor::from_vec(past, (context, context), &Device::Cpu)?;
        let scores = (q.matmul(&group(&k)?.t()?)? / (HEAD as f64).sqrt())?.broadcast_add(&past)?;
        let mixed = softmax(&scores, D::Minus1)?.matmul(&group(&v)?)?;
        self.output.forward(&mixed.transpose(1, 2)?.reshape((sequences, context, WIDTH))?)
    }

    /// Every expert on every byte, weighed by the router: simple, where a large model would take the best two only.
    fn experts(&self, x: &Tensor) -> Result<Tensor> {
        let flat = x.flatten_to(1)?;
        let gates = softmax(&self.router.forward(&flat)?, D::Minus1)?.t()?.unsqueeze(2)?;
        let hidden = flat.unsqueeze(0)?.broadcast_matmul(&self.up.transpose(1, 2)?.contiguous()?)?.silu()?;
        let outputs = hidden.matmul(&self.down.transpose(1, 2)?.contiguous()?)?;
        outputs.broadcast_mul(&gates)?.sum(0)?.reshape(x.shape())
    }

    fn loss(&self, batch: &Batch) -> Result<Tensor> {
        let shape = (batch.sequences, batch.context);
        let x = self.embedding.forward(&Tensor::from_slice(&batch.inputs, shape, &Device::Cpu)?)?;
        let [first, second, last] = &self.norms;
        let x = (&x + self.attention(&rms_norm_slow(&x, first, 1e-6)?)?)?;
        let x = (&x + self.experts(&rms_norm_slow(&x, second, 1e-6)?)?)?;
        let logits = self.head.forward(&rms_norm_slow(&x, last, 1e-6)?)?.flatten_to(1)?;
        candle_nn::loss::cross_entropy(
            &logits,
            &Tensor::from_slice(&batch.targets, logits.dim(0)?, &Device::Cpu)?,
        )
    }
}

// ANCHOR: plan
/// What names and shapes do not tell: where q, k and v end, and that a router is a head of sorts.
fn plan() -> PlanBuilder {
    Plan::builder()
        .split(
            "*.qkv.weight",
            Split::rows([WIDTH, KEY_HEADS * HEAD, KEY_HEADS * HEAD]).names(["q", "k", "v"]),
        )
        .group("*.router.*", |g| g.rule(spectra_candle::plan::Rule::Elementwise))
}
// ANCHOR_END: plan

fn run(guide: &Guide) -> std::result::Result<(), Box<dyn Error>> {
    let text = Text::king_james()?;
    let mut curves = Vec::new();
    let muon = Config::preset("muon")?.lr(0.02).elementwise_lr(3e-3);
    for (name, config, plan) in [
        ("adamw", Config::preset("adamw")?.lr(3e-3), plan()),
        ("muon, untold", muon, Plan::builder()),
        ("muon, split", muon, plan()),
    ] {
        let vars = VarMap::new();
        let model = Block::new(&VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu))?;
        let mut optimizer = Optimizer::with_plan(&vars, config, &plan)?;
        if name != "adamw" {
            println!("{name}:\n{}", optimizer.plan_table());
        }
        let mut run = guide.run(name);
        for step in 1..=guide.steps {
            let loss = model.loss(&training_batch(&text.bytes, 8, CONTEXT, 1, step))?;
            optimizer.backward_step(&loss)?;
            run.step(step, loss.to_scalar::<f32>()?.into())?;
        }
        println!("{name}: loss {:.3} in {:.0} s", run.last(), run.seconds());
        curves.push(run.end());
    }
    Ok(guide.picture("moe.png", &[losses("Fused attention and stacked experts", curves)])?)
}

fn main() -> ExitCode {
    let about = "Trains fused attention and stacked experts, each matrix by itself";
    Program { name: "moe", about, steps: 60, resumes: false }.main(run)
}
