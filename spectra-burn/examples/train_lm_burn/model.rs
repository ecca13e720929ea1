//! The decoder, as a burn module. Parameters have the names that all frameworks share.

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::activation::{log_softmax, silu, softmax};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use spectra_examples::model::{NORM_EPSILON, ROTARY_BASE, VOCABULARY};
use spectra_examples::{Failure, ModelSizes, Parameter};

/// The model.
#[derive(Module, Debug)]
pub(crate) struct Decoder {
    embedding: Embedding,
    layers: Vec<Layer>,
    norm: Norm,
    head: Linear,
}

#[derive(Module, Debug)]
struct Layer {
    attention_norm: Norm,
    attention: Attention,
    mlp_norm: Norm,
    mlp: Mlp,
}

#[derive(Module, Debug)]
struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
}

#[derive(Module, Debug)]
struct Mlp {
    gate: Linear,
    up: Linear,
    down: Linear,
}

#[derive(Module, Debug)]
struct Norm {
    weight: Param<Tensor<1>>,
}

impl Decoder {
    /// The model with these values.
    pub(crate) fn new(sizes: &ModelSizes, initial: &[Parameter], device: &Device) -> Result<Self, Failure> {
        let &ModelSizes { width, hidden, .. } = sizes;
        let linear = |inputs, outputs| LinearConfig::new(inputs, outputs).with_bias(false).init(device);
        let norm = || Norm { weight: Param::from_tensor(Tensor::ones([width], device)) };
        let layer = |_| Layer {
            attention_norm: norm(),
            attention: Attention {
                query: linear(width, width),
                key: linear(width, width),
                value: linear(width, width),
                output: linear(width, width),
            },
            mlp_norm: norm(),
            mlp: Mlp { gate: linear(width, hidden), up: linear(width, hidden), down: linear(hidden, width) },
        };
        let model = Self {
            embedding: EmbeddingConfig::new(VOCABULARY, width).init(device),
            layers: (0..sizes.layers).map(layer).collect(),
            norm: norm(),
            head: linear(width, VOCABULARY),
        };
        let mut fill = Fill { initial, path: Vec::new(), in_linear: Vec::new(), failure: None };
        let model = model.map(&mut fill);
        fill.failure.map_or(Ok(model), Err)
    }

    /// Logits of the byte after each input, `(sequences * length) x 256`.
    pub(crate) fn forward(&self, inputs: &[u32], sequences: usize, sizes: &ModelSizes) -> Tensor<2> {
        let device = self.norm.weight.val().device();
        let length = inputs.len() / sequences;
        let turns = Turns::new(sizes, length, &device);
        let mut stream = self.embedding.forward(integers(inputs, &device).reshape([sequences, length]));
        for layer in &self.layers {
            let normed = layer.attention_norm.forward(stream.clone());
            stream = stream + layer.attention.forward(normed, sizes, &turns);
            stream = stream.clone() + layer.mlp.forward(layer.mlp_norm.forward(stream));
        }
        self.head.forward(self.norm.forward(stream)).reshape([sequences * length, VOCABULARY])
    }
}

impl Attention {
    fn forward(&self, x: Tensor<3>, sizes: &ModelSizes, turns: &Turns) -> Tensor<3> {
        let [sequences, length, width] = x.dims();
        let apart =
            |x: Tensor<3>| x.reshape([sequences, length, sizes.heads, sizes.head_width()]).swap_dims(1, 2);
        let query = turns.apply(apart(self.query.forward(x.clone())));
        let key = turns.apply(apart(self.key.forward(x.clone())));
        let value = apart(self.value.forward(x));
        let scale = 1.0 / (sizes.head_width() as f64).sqrt();
        let future = Tensor::<2, Bool>::tril_mask([length, length], 0, &query.device());
        let scores = query.matmul(key.swap_dims(2, 3)).mul_scalar(scale);
        let scores = scores.mask_fill(future.reshape([1, 1, length, length]), f32::NEG_INFINITY);
        let mixed = softmax(scores, 3).matmul(value);
        self.output.forward(mixed.swap_dims(1, 2).reshape([sequences, length, width]))
    }
}

impl Mlp {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.down.forward(silu(self.gate.forward(x.clone())) * self.up.forward(x))
    }
}

impl Norm {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let mean_square = x.clone().square().mean_dim(2);
        x / mean_square.add_scalar(NORM_EPSILON).sqrt() * self.weight.val().reshape([1, 1, -1])
    }
}

/// Rotary positions: in each head, entries `i` and `i + half` are turned by `position / base^(i / half)`.
struct Turns {
    cosines: Tensor<4>,
    sines: Tensor<4>,
}

impl Turns {
    fn new(sizes: &ModelSizes, length: usize, device: &Device) -> Self {
        let half = sizes.head_width() / 2;
        let angle = |index: usize| {
            let (position, pair) = (index / half, index % half);
            position as f64 * ROTARY_BASE.powf(-(pair as f64) / half as f64)
        };
        let table = |f: fn(f64) -> f64| {
            let values: Vec<f32> = (0..length * half).map(|index| f(angle(index)) as f32).collect();
            Tensor::from_data(TensorData::new(values, [1, 1, length, half]), device)
        };
        Self { cosines: table(f64::cos), sines: table(f64::sin) }
    }

    fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let half = x.dims()[3] / 2;
        let (a, b) = (x.clone().narrow(3, 0, half), x.narrow(3, half, half));
        let (cosines, sines) = (|| self.cosines.clone(), || self.sines.clone());
        let first = a.clone() * cosines() - b.clone() * sines();
        let second = b * cosines() + a * sines();
        Tensor::cat(vec![first, second], 3)
    }
}

/// Mean cross entropy, in nats per byte.
pub(crate) fn cross_entropy(logits: Tensor<2>, targets: &[u32]) -> Tensor<1> {
    let targets = integers(targets, &logits.device()).reshape([-1, 1]);
    log_softmax(logits, 1).gather(1, targets).mean().neg()
}

fn integers(values: &[u32], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.iter().map(|&value| value.into()).collect();
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), device)
}

/// Puts the shared initial values into a module; burn's `Linear` stores them transposed.
struct Fill<'a> {
    initial: &'a [Parameter],
    path: Vec<String>,
    in_linear: Vec<bool>,
    failure: Option<Failure>,
}

impl ModuleMapper for Fill<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.push(name.to_owned());
        self.in_linear.push(container == "Struct:Linear");
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
        self.in_linear.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.join(".");
        let Some(found) = self.initial.iter().find(|parameter| parameter.name == name) else {
            self.failure.get_or_insert(Failure::run(format!("there is no parameter named {name}")));
            return param;
        };
        let transposed = self.in_linear.last() == Some(&true);
        param.map(|old| {
            let data = TensorData::new(found.values.clone(), found.shape.clone());
            let value = Tensor::<D>::from_data(data, &old.device());
            // Moved once, so that training works on contiguous memory.
            let value = if transposed {
                Tensor::from_data(value.swap_dims(0, 1).into_data(), &old.device())
            } else {
                value
            };
            value.require_grad()
        })
    }
}
