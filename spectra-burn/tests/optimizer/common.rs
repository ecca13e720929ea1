//! A small module with every kind of parameter, and gradients for it.

use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig, RmsNorm, RmsNormConfig};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor, TensorData};

#[derive(Module, Debug)]
pub(crate) struct Tiny {
    pub(crate) embedding: Embedding,
    pub(crate) up: Linear,
    pub(crate) norm: RmsNorm,
    pub(crate) down: Linear,
}

impl Tiny {
    /// The module with this many hidden features, its values from `seed`.
    pub(crate) fn new(hidden: usize, seed: u64) -> Self {
        let device = Device::flex().autodiff();
        let module = Self {
            embedding: EmbeddingConfig::new(11, 8).init(&device),
            up: LinearConfig::new(8, hidden).init(&device),
            norm: RmsNormConfig::new(hidden).init(&device),
            down: LinearConfig::new(hidden, 8).with_bias(false).init(&device),
        };
        module.map(&mut Fill(seed))
    }
}

struct Fill(u64);

impl burn::module::ModuleMapper for Fill {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.0 += 1;
        param.map(|tensor| random(tensor.dims(), self.0, tensor.dtype()).autodiff().require_grad())
    }
}

/// Values in [-1, 1) that depend on the seed and the shape only.
pub(crate) fn random<const D: usize>(shape: [usize; D], seed: u64, dtype: DType) -> Tensor<D> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values: Vec<f64> = (0..shape.iter().product::<usize>())
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect();
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex(), dtype))
}

/// A gradient for every parameter of the module.
pub(crate) fn gradients<M: Module>(module: &M, seed: u64) -> GradientsParams {
    struct Draw(GradientsParams, u64);
    impl ModuleVisitor for Draw {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1 += 1;
            let value = param.val();
            self.0.register::<D>(param.id, random(value.dims(), self.1, value.dtype()));
        }
    }
    let mut draw = Draw(GradientsParams::new(), seed * 100);
    module.visit(&mut draw);
    draw.0
}

/// All values of the module as bits.
pub(crate) fn bits<M: Module>(module: &M) -> Vec<u32> {
    struct Read(Vec<u32>);
    impl ModuleVisitor for Read {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(values(param.val()).iter().map(|x| (*x as f32).to_bits()));
        }
    }
    let mut read = Read(Vec::new());
    module.visit(&mut read);
    read.0
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.inner().into_data().iter::<f64>().collect()
}

/// `max |a - b|`.
pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0f64, |m, (x, y)| m.max((x - y).abs()))
}

/// `max |a|`.
pub(crate) fn largest(a: &[f64]) -> f64 {
    a.iter().fold(0.0f64, |m, x| m.max(x.abs()))
}

/// One layer without a bias, its weight (stored `in x out`) given.
pub(crate) fn layer(weight: Tensor<2>) -> Linear {
    layer_on(&Device::flex(), weight)
}

/// The same on a device.
pub(crate) fn layer_on(device: &Device, weight: Tensor<2>) -> Linear {
    let [inputs, outputs] = weight.dims();
    let mut linear = LinearConfig::new(inputs, outputs).with_bias(false).init(&device.clone().autodiff());
    let weight = weight.to_device(device).autodiff().require_grad();
    linear.weight = Param::initialized(linear.weight.id, weight);
    linear
}

/// This gradient of a parameter.
pub(crate) fn gradient<const D: usize>(param: &Param<Tensor<D>>, values: Tensor<D>) -> GradientsParams {
    let mut gradients = GradientsParams::new();
    gradients.register::<D>(param.id, values);
    gradients
}
