//! What a step of a model asks of a device, by the tensor operations of GPUs: burn's operations do not depend on how many equal layers there are, and
//! nothing waits.

use crate::backend::counted::counts;
use crate::{Settings, SpectralConfig};
use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::{Linear, LinearConfig};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use spectra_core::linalg::uniform;
use spectra_core::optimizer::Method;

#[derive(Module, Debug)]
struct Layers {
    layers: Vec<Linear>,
}

impl Layers {
    /// Layers of 24 outputs and 52 inputs, twice as wide as high, with biases.
    fn new(count: usize) -> Self {
        let layer = |_| LinearConfig::new(52, 24).init(&Device::flex().autodiff());
        Self { layers: (0..count).map(layer).collect() }
    }

    fn gradients(&self, seed: u64) -> GradientsParams {
        struct Draw(GradientsParams, u64);
        impl ModuleVisitor for Draw {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                self.1 += 1;
                let shape = param.val().dims();
                let entries = shape.iter().product();
                let values: Vec<f32> = (0..entries).map(|i| uniform(self.1, i, 0) as f32).collect();
                self.0.register::<D>(
                    param.id,
                    Tensor::from_data(TensorData::new(values, shape), &Device::flex()),
                );
            }
        }
        let mut draw = Draw(GradientsParams::new(), seed);
        self.visit(&mut draw);
        draw.0
    }
}

/// Products, other passes, gathers, views, uploads and waits of the fourth step of a model of `count` equal layers.
fn fourth_step(config: &SpectralConfig, count: usize) -> [usize; 6] {
    let mut model = Layers::new(count);
    let mut optimizer = config.init_for(&model).unwrap().by_tensor_operations();
    let mut found = [0; 6];
    for step in 0..4 {
        let gradients = model.gradients(1000 * step);
        (model, found) = counts(|| optimizer.step(0.01, model, gradients).unwrap());
    }
    found
}

/// Those whose steps do not depend on what numbers they meet.
const UNIFORM: [&str; 18] = [
    "spectra",
    "muon",
    "muon-polar-express",
    "d-muon",
    "normuon",
    "adamuon",
    "scion",
    "polargrad",
    "polargrad-first",
    "adamw-post-orth",
    "muon-hyperball",
    "adamw",
    "adamw-cautious",
    "lion",
    "mars",
    "ademamix",
    "signum",
    "sgd-m",
];

fn config(name: &str, check_finite: bool) -> SpectralConfig {
    let settings = Settings::preset(name).unwrap().weight_decay(0.1).clip_norm(1.0);
    SpectralConfig::try_from(settings.check_finite(check_finite)).unwrap()
}

#[test]
fn equal_layers_cost_what_two_cost() {
    for name in UNIFORM {
        let [products, passes, gathers, views, uploads, waits] = fourth_step(&config(name, false), 2);
        println!("{name:20} {products:3} products, {passes:3} passes, {gathers} gathers, {waits} waits");
        for count in [5, 9] {
            // A stack hands every layer its weight and its bias.
            let expected = [products, passes, gathers, views / 2 * count, uploads, waits];
            assert_eq!(fourth_step(&config(name, false), count), expected, "{name}, {count} layers");
        }
        assert_eq!(views, 4, "{name}");
        // Of each stack gradients and weights; buffers are kept. The norm: gradients again.
        assert_eq!(gathers, 2 * 2 + 2, "{name}");
        // Tail shrink: two Cholesky factors, the lengths of columns, and which of them are zero.
        let expected = if name == "spectra" { (3, 4) } else { (0, 0) };
        assert_eq!((uploads, waits), expected, "{name}");
    }
}

#[test]
fn a_finite_check_waits_once() {
    for name in UNIFORM {
        let without = fourth_step(&config(name, false), 3)[5];
        assert_eq!(fourth_step(&config(name, true), 3)[5], without + 1, "{name}");
    }
}

/// How often each preset waits in a step of two equal layers, and of four: the table of the crate's README.
#[test]
fn presets_that_wait_for_each_layer_are_known() {
    let mut by_layer = Vec::new();
    for (name, _, _) in Method::presets() {
        let config = config(name, false);
        let [two, four] = [2, 4].map(|count| fourth_step(&config, count)[5]);
        println!("{name:24} waits {two:3}, {four:3}");
        if two != four {
            by_layer.push(name);
        }
    }
    assert_eq!(by_layer, BY_LAYER);
}

/// Their maps or directions look at numbers.
const BY_LAYER: [&str; 0] = [];
