//! The decoder, as candle operations.

use candle_core::{Result, Tensor};
use candle_nn::VarMap;
use spectra_examples::ModelSizes;

use crate::fused::{Rotary, causal_attention, linear, rms_norm, swiglu};

struct Layer {
    attention_norm: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    output: Tensor,
    mlp_norm: Tensor,
    gate: Tensor,
    up: Tensor,
    down: Tensor,
}

/// The model; its weights are those of the map it was built from.
pub struct Decoder {
    sizes: ModelSizes,
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: Tensor,
    head: Tensor,
    rotary: Rotary,
}

impl Decoder {
    /// Takes the weights from `weights` by name.
    pub fn new(sizes: ModelSizes, weights: &VarMap) -> Result<Self> {
        let named =
            weights.data().lock().map_err(|_| candle_core::Error::Msg("the weights are poisoned".into()))?;
        let get = |name: &str| match named.get(name) {
            Some(weight) => Ok(weight.as_tensor().clone()),
            None => candle_core::bail!("there is no weight named {name}"),
        };
        let layer = |layer: usize| {
            let get = |name: &str| get(&format!("layers.{layer}.{name}.weight"));
            Ok(Layer {
                attention_norm: get("attention_norm")?,
                query: get("attention.query")?,
                key: get("attention.key")?,
                value: get("attention.value")?,
                output: get("attention.output")?,
                mlp_norm: get("mlp_norm")?,
                gate: get("mlp.gate")?,
                up: get("mlp.up")?,
                down: get("mlp.down")?,
            })
        };
        Ok(Self {
            sizes,
            embedding: get("embedding.weight")?,
            layers: (0..sizes.layers).map(layer).collect::<Result<_>>()?,
            norm: get("norm.weight")?,
            head: get("head.weight")?,
            rotary: Rotary::new(&sizes),
        })
    }

    /// Logits of the byte after each input, `(sequences * length) x 256`.
    pub fn forward(&self, inputs: &[u32], sequences: usize) -> Result<Tensor> {
        let length = inputs.len() / sequences;
        let ids = Tensor::from_slice(inputs, inputs.len(), self.embedding.device())?;
        let mut stream = self.embedding.index_select(&ids, 0)?;
        for layer in &self.layers {
            let normed = rms_norm(&stream, &layer.attention_norm)?;
            stream = (&stream + self.attention(layer, &normed, length)?)?;
            let normed = rms_norm(&stream, &layer.mlp_norm)?;
            let inner = swiglu(&linear(&normed, &layer.gate)?, &linear(&normed, &layer.up)?)?;
            stream = (&stream + linear(&inner, &layer.down)?)?;
        }
        linear(&rms_norm(&stream, &self.norm)?, &self.head)
    }

    fn attention(&self, layer: &Layer, x: &Tensor, length: usize) -> Result<Tensor> {
        let query = self.rotary.apply(&linear(x, &layer.query)?, length)?;
        let key = self.rotary.apply(&linear(x, &layer.key)?, length)?;
        let value = linear(x, &layer.value)?;
        linear(&causal_attention(&query, &key, &value, self.sizes.heads, length)?, &layer.output)
    }
}
