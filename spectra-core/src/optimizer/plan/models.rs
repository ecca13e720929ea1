//! Published models as names and shapes, for plans that nobody has to allocate.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// The shapes of a LLaMA-style decoder: RMSNorm, gated MLP, an output head of its own, no biases.
///
/// ```
/// use spectra_core::optimizer::plan::models::{LLAMA3_8B, LLAMA3_70B};
/// use spectra_core::optimizer::plan::Plan;
///
/// for (model, numbers) in [(LLAMA3_8B, 8_030_261_248), (LLAMA3_70B, 70_553_706_496)] {
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
    /// Features of keys and of values: their heads times the size of a head.
    pub key_value_width: usize,
    /// Hidden features of the MLP.
    pub mlp_width: usize,
    /// Tokens.
    pub vocabulary: usize,
}

/// LLaMA-3-8B: 32 heads of 128, 8 of them for keys and values (arXiv 2407.21783, Table 3).
pub const LLAMA3_8B: Decoder =
    Decoder { layers: 32, width: 4096, key_value_width: 1024, mlp_width: 14336, vocabulary: 128_256 };

/// LLaMA-3-70B: 64 heads of 128, 8 of them for keys and values (the same table).
pub const LLAMA3_70B: Decoder =
    Decoder { layers: 80, width: 8192, key_value_width: 1024, mlp_width: 28672, vocabulary: 128_256 };

impl Decoder {
    /// Names (Hugging Face's) and shapes (`out x in`) of all parameters.
    #[must_use]
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let Self { width, key_value_width, mlp_width, vocabulary, .. } = *self;
        let mut all = vec![(String::from("model.embed_tokens.weight"), vec![vocabulary, width])];
        for layer in 0..self.layers {
            let block = [
                ("self_attn.q_proj", vec![width, width]),
                ("self_attn.k_proj", vec![key_value_width, width]),
                ("self_attn.v_proj", vec![key_value_width, width]),
                ("self_attn.o_proj", vec![width, width]),
                ("mlp.gate_proj", vec![mlp_width, width]),
                ("mlp.up_proj", vec![mlp_width, width]),
                ("mlp.down_proj", vec![width, mlp_width]),
                ("input_layernorm", vec![width]),
                ("post_attention_layernorm", vec![width]),
            ];
            all.extend(block.map(|(name, shape)| (format!("model.layers.{layer}.{name}.weight"), shape)));
        }
        all.push(("model.norm.weight".into(), vec![width]));
        all.push(("lm_head.weight".into(), vec![vocabulary, width]));
        all
    }
}
