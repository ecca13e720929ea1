//! The decoder, as candle operations.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::VarMap;
use spectra_examples::ModelSizes;
use spectra_examples::model::{NORM_EPSILON, ROTARY_BASE};

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
    cosines: Tensor,
    sines: Tensor,
    mask: Tensor,
}

impl Decoder {
    /// Takes the weights from `weights` by name.
    pub fn new(sizes: ModelSizes, weights: &VarMap, device: &Device) -> Result<Self> {
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
        let half = sizes.head_width() / 2;
        let angle = |index: usize| {
            let (position, pair) = (index / half, index % half);
            position as f64 * ROTARY_BASE.powf(-(pair as f64) / half as f64)
        };
        let table = |f: fn(f64) -> f64| {
            let values: Vec<_> = (0..sizes.context * half).map(|index| f(angle(index)) as f32).collect();
            Tensor::from_vec(values, (sizes.context, half), device)
        };
        let hidden = |index: usize| index % sizes.context > index / sizes.context;
        let mask: Vec<_> = (0..sizes.context * sizes.context)
            .map(|i| if hidden(i) { f32::NEG_INFINITY } else { 0.0 })
            .collect();
        Ok(Self {
            sizes,
            embedding: get("embedding.weight")?,
            layers: (0..sizes.layers).map(layer).collect::<Result<_>>()?,
            norm: get("norm.weight")?,
            head: get("head.weight")?,
            cosines: table(f64::cos)?,
            sines: table(f64::sin)?,
            mask: Tensor::from_vec(mask, (sizes.context, sizes.context), device)?,
        })
    }

    /// Logits of the byte after each input, `(sequences * length) x 256`.
    pub fn forward(&self, inputs: &[u32], sequences: usize) -> Result<Tensor> {
        let length = inputs.len() / sequences;
        let ids = Tensor::from_slice(inputs, inputs.len(), self.embedding.device())?;
        let mut stream = self.embedding.index_select(&ids, 0)?;
        for layer in &self.layers {
            let normed = rms_norm(&stream, &layer.attention_norm)?;
            stream = (&stream + self.attention(layer, &normed, sequences, length)?)?;
            let normed = rms_norm(&stream, &layer.mlp_norm)?;
            let inner = (linear(&normed, &layer.gate)?.silu()? * linear(&normed, &layer.up)?)?;
            stream = (&stream + linear(&inner, &layer.down)?)?;
        }
        linear(&rms_norm(&stream, &self.norm)?, &self.head)
    }

    fn attention(&self, layer: &Layer, x: &Tensor, sequences: usize, length: usize) -> Result<Tensor> {
        let ModelSizes { heads, width, .. } = self.sizes;
        let apart = |x: Tensor| x.reshape((sequences, length, heads, ()))?.transpose(1, 2)?.contiguous();
        let query = self.rotate(&apart(linear(x, &layer.query)?)?, length)?;
        let key = self.rotate(&apart(linear(x, &layer.key)?)?, length)?;
        let value = apart(linear(x, &layer.value)?)?;
        let scale = 1.0 / (self.sizes.head_width() as f64).sqrt();
        let mask = self.mask.narrow(0, 0, length)?.narrow(1, 0, length)?;
        let scores = (query.matmul(&key.t()?)? * scale)?.broadcast_add(&mask)?;
        let mixed = candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&value)?;
        linear(&mixed.transpose(1, 2)?.reshape((sequences * length, width))?, &layer.output)
    }

    fn rotate(&self, x: &Tensor, length: usize) -> Result<Tensor> {
        let cosines = self.cosines.narrow(0, 0, length)?;
        let sines = self.sines.narrow(0, 0, length)?;
        candle_nn::rotary_emb::rope_slow(x, &cosines, &sines)
    }
}

/// `x W^T`, W being output x input.
fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.matmul(&weight.t()?)
}

fn rms_norm(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let mean_square = x.sqr()?.mean_keepdim(D::Minus1)?;
    x.broadcast_div(&(mean_square + NORM_EPSILON)?.sqrt()?)?.broadcast_mul(weight)
}

/// Mean cross entropy, in nats per byte.
pub fn cross_entropy(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let targets = Tensor::from_slice(targets, targets.len(), logits.device())?;
    candle_nn::loss::cross_entropy(&logits.to_dtype(DType::F32)?, &targets)
}
