//! Published models as names and shapes, for plans that nobody has to allocate.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Names and shapes of parameters.
pub type Shapes = Vec<(String, Vec<usize>)>;

/// The shapes of a LLaMA-style decoder: RMSNorm, gated MLP, no biases.
///
/// ```
/// use spectra_core::optimizer::plan::Plan;
/// use spectra_core::optimizer::plan::models::{LLAMA3_8B, LLAMA3_70B, OLMOE_1B_7B, QWEN3_0_6B};
///
/// for (model, numbers) in [
///     (LLAMA3_8B, 8_030_261_248),
///     (LLAMA3_70B, 70_553_706_496),
///     (QWEN3_0_6B, 596_049_920),
///     (OLMOE_1B_7B, 6_919_161_856),
/// ] {
///     let plan = Plan::builder().build(model.parameters())?;
///     assert_eq!(plan.entries().iter().map(|entry| entry.elements()).sum::<usize>(), numbers);
/// }
/// # Ok::<(), spectra_core::backend::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoder {
    /// Blocks of attention and MLP.
    pub layers: usize,
    /// Hidden features.
    pub width: usize,
    /// Features of queries: their heads times the size of a head.
    pub query_width: usize,
    /// Features of keys and of values.
    pub key_value_width: usize,
    /// Features over which queries and keys have an RMSNorm each, if they do.
    pub query_norm: Option<usize>,
    /// Hidden features of the MLP, or of each expert.
    pub mlp_width: usize,
    /// Experts of an MLP with a router, each with matrices of its own; none: a plain MLP.
    pub experts: Option<usize>,
    /// Tokens.
    pub vocabulary: usize,
    /// Whether the output head is the embedding, no parameter of its own.
    pub tied: bool,
}

/// LLaMA-3-8B: 32 heads of 128, 8 of them for keys and values (arXiv 2407.21783, Table 3).
pub const LLAMA3_8B: Decoder = Decoder {
    layers: 32,
    width: 4096,
    query_width: 4096,
    key_value_width: 1024,
    query_norm: None,
    mlp_width: 14336,
    experts: None,
    vocabulary: 128_256,
    tied: false,
};

/// LLaMA-3-70B: 64 heads of 128, 8 of them for keys and values (the same table).
pub const LLAMA3_70B: Decoder =
    Decoder { layers: 80, width: 8192, query_width: 8192, mlp_width: 28672, ..LLAMA3_8B };

/// Qwen3-0.6B: 16 heads of 128, 8 of them for keys and values (arXiv 2505.09388, Table 1, and the published `config.json`).
pub const QWEN3_0_6B: Decoder = Decoder {
    layers: 28,
    width: 1024,
    query_width: 2048,
    key_value_width: 1024,
    query_norm: Some(128),
    mlp_width: 3072,
    experts: None,
    vocabulary: 151_936,
    tied: true,
};

/// OLMoE-1B-7B: 64 experts a layer (arXiv 2409.02060, Table 1, and the published `config.json`).
pub const OLMOE_1B_7B: Decoder = Decoder {
    layers: 16,
    width: 2048,
    query_width: 2048,
    key_value_width: 2048,
    query_norm: Some(2048),
    mlp_width: 1024,
    experts: Some(64),
    vocabulary: 50_304,
    tied: false,
};

impl Decoder {
    /// Names (Hugging Face's) and shapes (`out x in`) of all parameters.
    #[must_use]
    pub fn parameters(&self) -> Shapes {
        let Self { width, query_width, key_value_width, mlp_width, vocabulary, .. } = *self;
        let mut all = vec![(String::from("model.embed_tokens.weight"), vec![vocabulary, width])];
        for layer in 0..self.layers {
            let mut add = |name: &str, shape: &[usize]| {
                all.push((format!("model.layers.{layer}.{name}.weight"), shape.to_vec()));
            };
            add("self_attn.q_proj", &[query_width, width]);
            add("self_attn.k_proj", &[key_value_width, width]);
            add("self_attn.v_proj", &[key_value_width, width]);
            add("self_attn.o_proj", &[width, query_width]);
            if let Some(norm) = self.query_norm {
                add("self_attn.q_norm", &[norm]);
                add("self_attn.k_norm", &[norm]);
            }
            let mut mlp = |of: &str| {
                add(&format!("mlp.{of}gate_proj"), &[mlp_width, width]);
                add(&format!("mlp.{of}up_proj"), &[mlp_width, width]);
                add(&format!("mlp.{of}down_proj"), &[width, mlp_width]);
            };
            match self.experts {
                None => mlp(""),
                Some(experts) => {
                    (0..experts).for_each(|i| mlp(&format!("experts.{i}.")));
                    add("mlp.gate", &[experts, width]);
                }
            }
            add("input_layernorm", &[width]);
            add("post_attention_layernorm", &[width]);
        }
        all.push(("model.norm.weight".into(), vec![width]));
        if !self.tied {
            all.push(("lm_head.weight".into(), vec![vocabulary, width]));
        }
        all
    }
}

/// GPT-2 of 124 million numbers: names of the authors, matrices stored `in x out`, the head tied to the embedding.
///
/// ```
/// use spectra_core::optimizer::plan::{Plan, models::gpt2};
///
/// let plan = Plan::builder().build(gpt2())?;
/// assert_eq!(plan.entries().iter().map(|entry| entry.elements()).sum::<usize>(), 124_439_808);
/// # Ok::<(), spectra_core::backend::Error>(())
/// ```
#[must_use]
pub fn gpt2() -> Shapes {
    let width = 768;
    let mut all: Shapes =
        vec![("wte.weight".into(), vec![50_257, width]), ("wpe.weight".into(), vec![1024, width])];
    for layer in 0..12 {
        let parts: [(&str, &[usize]); 6] = [
            ("ln_1", &[width]),
            ("attn.c_attn", &[width, 3 * width]),
            ("attn.c_proj", &[width, width]),
            ("ln_2", &[width]),
            ("mlp.c_fc", &[width, 4 * width]),
            ("mlp.c_proj", &[4 * width, width]),
        ];
        for (name, shape) in parts {
            all.push((format!("h.{layer}.{name}.weight"), shape.to_vec()));
            all.push((format!("h.{layer}.{name}.bias"), shape[shape.len() - 1..].to_vec()));
        }
    }
    all.extend(["weight", "bias"].map(|name| (format!("ln_f.{name}"), vec![width])));
    all
}
