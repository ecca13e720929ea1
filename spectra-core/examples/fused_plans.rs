//! The plans of two models whose parameters hold several matrices: GPT-2 (fused queries, keys and values, stored `in x out`) and
//! Mixtral-8x7B (stacked experts). Nothing is allocated for them.
//!
//! `cargo run --release -p spectra-core --example fused_plans`

use spectra_core::backend::Result;
use spectra_core::optimizer::Config;
use spectra_core::optimizer::plan::{Plan, Split};

/// Names and shapes as Hugging Face's transformers has them.
fn gpt2() -> Vec<(String, Vec<usize>)> {
    let mut all = vec![
        ("transformer.wte.weight".to_owned(), vec![50257, 768]),
        ("transformer.wpe.weight".to_owned(), vec![1024, 768]),
    ];
    for layer in 0..12 {
        let of_layer: [(&str, &[usize]); 12] = [
            ("ln_1.weight", &[768]),
            ("ln_1.bias", &[768]),
            ("attn.c_attn.weight", &[768, 2304]),
            ("attn.c_attn.bias", &[2304]),
            ("attn.c_proj.weight", &[768, 768]),
            ("attn.c_proj.bias", &[768]),
            ("ln_2.weight", &[768]),
            ("ln_2.bias", &[768]),
            ("mlp.c_fc.weight", &[768, 3072]),
            ("mlp.c_fc.bias", &[3072]),
            ("mlp.c_proj.weight", &[3072, 768]),
            ("mlp.c_proj.bias", &[768]),
        ];
        all.extend(of_layer.map(|(name, shape)| (format!("transformer.h.{layer}.{name}"), shape.to_vec())));
    }
    all.extend(
        [("weight", 768), ("bias", 768)].map(|(name, n)| (format!("transformer.ln_f.{name}"), vec![n])),
    );
    all
}

/// As transformers 5 has them.
fn mixtral() -> Vec<(String, Vec<usize>)> {
    let mut all = vec![("model.embed_tokens.weight".to_owned(), vec![32000, 4096])];
    for layer in 0..32 {
        let of_layer: [(&str, &[usize]); 9] = [
            ("input_layernorm.weight", &[4096]),
            ("self_attn.q_proj.weight", &[4096, 4096]),
            ("self_attn.k_proj.weight", &[1024, 4096]),
            ("self_attn.v_proj.weight", &[1024, 4096]),
            ("self_attn.o_proj.weight", &[4096, 4096]),
            ("post_attention_layernorm.weight", &[4096]),
            ("mlp.gate.weight", &[8, 4096]),
            ("mlp.experts.gate_up_proj", &[8, 28672, 4096]),
            ("mlp.experts.down_proj", &[8, 4096, 14336]),
        ];
        all.extend(of_layer.map(|(name, shape)| (format!("model.layers.{layer}.{name}"), shape.to_vec())));
    }
    all.extend(
        [("model.norm.weight", vec![4096]), ("lm_head.weight", vec![32000, 4096])]
            .map(|(n, s)| (n.to_owned(), s)),
    );
    all
}

fn main() -> Result<()> {
    let config = Config::preset("spectra")?;
    println!("GPT-2, with a tenth of the rate for the first half\n");
    // Conv1D stores in x out: the fused one is known by its name, the others are told.
    let builder = Plan::builder()
        .split("*.c_proj.weight", Split::whole().transposed())
        .split("*.c_fc.weight", Split::whole().transposed())
        .group("transformer.h.?.*", |group| group.lr(0.1));
    println!("{}\n\nMixtral-8x7B, the default\n", builder.build(gpt2())?.table(config));
    println!("{}", Plan::builder().build(mixtral())?.table(config));
    Ok(())
}
