//! Which side of a parameter is its output features: step scales depend on it.

use crate::common::{distance, gradients, largest, random, values};
use crate::model::{LR, ROUNDING, read, upload};
use burn::module::{Lora, Module, Param, ParamGroup};
use burn::nn::conv::{ConvTranspose1dConfig, ConvTranspose2d, ConvTranspose2dConfig, ConvTranspose3dConfig};
use burn::nn::{EmbeddingConfig, LinearConfig};
use burn::tensor::{DType, Device, Tensor};
use spectra_burn::{Hybrid, Orientation, SpectralConfig};
use spectra_core::backend::Gradient;
use spectra_core::faer::Faer;
use spectra_core::linalg::Workspace;
use spectra_core::optimizer::plan::{Plan, PlanBuilder, Rule};
use spectra_core::optimizer::{ParameterState, Rates, Recipe};

fn device() -> Device {
    Device::flex().autodiff()
}

fn muon<M: Module>(module: &M, builder: &PlanBuilder) -> Hybrid {
    Hybrid::new(&SpectralConfig::preset("muon").unwrap(), module, builder).unwrap()
}

fn view<M: Module>(module: &M, name: &str) -> (usize, usize) {
    muon(module, &Plan::builder()).plan().get(name).unwrap().view()
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[test]
fn the_factors_of_lora_are_stored_as_their_weight_is() {
    // x A B: A is in x rank, B is rank x out.
    let module = LinearConfig::new(512, 512).with_bias(false).init(&device()).apply_lora(Lora::new(8, 16.0));
    let spectral = Plan::builder().rule("weight.lora.*", Rule::Spectral);
    let mut optimizer = muon(&module, &spectral);
    let view = |name| optimizer.plan().get(name).unwrap().view();
    assert_eq!((view("weight.lora.a"), view("weight.lora.b")), ((8, 512), (512, 8)));

    let factors = |module: &burn::nn::Linear| {
        let adapter = module.weight.adapter().unwrap();
        (values(adapter.a.val()), values(adapter.b.val()))
    };
    let before = factors(&module);
    let drawn = gradients(&module, 1);
    let after = factors(&optimizer.step(LR, module, drawn).unwrap());
    let moved = |before: &[f64], after: &[f64]| {
        norm(&before.iter().zip(after).map(|(x, y)| x - y).collect::<Vec<_>>()) / LR
    };
    // A polar factor of rank 8 has a norm of sqrt(8); five quintic steps leave its singular values from 0.7 to 1.2.
    // The step scale is sqrt(max(1, out / in)).
    for (found, scale) in [(moved(&before.0, &after.0), 1.0), (moved(&before.1, &after.1), 8.0)] {
        let share = found / (scale * 8f64.sqrt());
        assert!((0.7..1.2).contains(&share), "{found}: {share} of a scale of {scale}");
    }
}

#[test]
fn lora_on_a_weight_stored_out_by_in_has_factors_stored_so() {
    #[derive(Module, Debug)]
    struct Mixer {
        mix: Param<Tensor<2>>,
    }
    let weight = random([32, 16], 1, DType::F32);
    let module = Mixer { mix: Param::from_tensor(Tensor::from_inner(weight)) };
    let module = module.apply_lora(Lora::new(4, 4.0));
    assert_eq!((view(&module, "mix.lora.a"), view(&module, "mix.lora.b")), ((32, 4), (4, 16)));

    let in_by_out = |group| {
        let layouts = Some(vec![(group, Orientation::InByOut)]);
        let config = SpectralConfig::preset("muon").unwrap().with_layouts(layouts);
        config.init_for(&module)
    };
    let optimizer = in_by_out(ParamGroup::from_path("mix")).unwrap();
    let view = |name| optimizer.plan().get(name).unwrap().view();
    assert_eq!((view("mix"), view("mix.lora.a"), view("mix.lora.b")), ((16, 32), (4, 32), (16, 4)));
    let error = in_by_out(ParamGroup::from_path("mixer")).unwrap_err();
    assert!(error.to_string().contains("matches no parameter"), "{error}");
}

#[test]
fn transposed_convolutions_have_their_outputs_as_rows() {
    let device = device();
    let two = |groups| ConvTranspose2dConfig::new([16, 64], [3, 3]).with_groups(groups);
    assert_eq!(view(&two(1).init(&device), "weight"), (64, 16 * 9));
    assert_eq!(view(&two(1).with_bias(false).init(&device), "weight"), (64, 16 * 9));
    assert_eq!(view(&two(2).init(&device), "weight"), (64, 8 * 9), "as a convolution of two groups");
    let one = ConvTranspose1dConfig::new([16, 64], 3).init(&device);
    assert_eq!(view(&one, "weight"), (64, 48));
    let three = ConvTranspose3dConfig::new([4, 6], [3, 2, 2]).init(&device);
    assert_eq!(view(&three, "weight"), (6, 4 * 12));
}

/// Each step is the core's on the matrix whose entry `(g out + o, i k)` is the stored `(g in + i, o, k)`.
#[test]
fn a_transposed_convolution_steps_as_its_matrix() {
    for groups in [1, 2] {
        let config = ConvTranspose2dConfig::new([6, 8], [3, 2]).with_groups(groups);
        let module: ConvTranspose2d = config.init(&device());
        let start = random([6, 8 / groups, 3, 2], 1, DType::F64);
        let mut module = ConvTranspose2d {
            weight: Param::initialized(module.weight.id, start.autodiff().require_grad()),
            bias: module.bias,
            ..module
        };
        let matrix = |stored: Vec<f64>| {
            let (inputs, outputs, kernel) = (6 / groups, 8 / groups, 6);
            let mut rows = vec![0.0; stored.len()];
            for g in 0..groups {
                for (o, i, k) in (0..outputs)
                    .flat_map(|o| (0..inputs).flat_map(move |i| (0..kernel).map(move |k| (o, i, k))))
                {
                    rows[((g * outputs + o) * inputs + i) * kernel + k] =
                        stored[((g * inputs + i) * outputs + o) * kernel + k];
                }
            }
            let data = burn::tensor::TensorData::new(rows, [8, inputs * kernel]);
            upload(Tensor::from_data(data, (&Device::flex(), DType::F64)))
        };
        for preset in ["muon", "spectra"] {
            let recipe = Recipe::preset(preset).unwrap();
            let mut optimizer = SpectralConfig::new(recipe.into()).init_for(&module).unwrap();
            let mut weights = matrix(values(module.weight.val()));
            let before = read(&weights);
            let mut state = ParameterState::<Faer<f64>>::new(recipe).unwrap();
            let mut workspace = Workspace::new(Faer::new());
            for at in 0..3 {
                let drawn = gradients(&module, at);
                let gradient = matrix(values(drawn.get::<4>(module.weight.id).unwrap()));
                module = optimizer.step(LR, module, drawn).unwrap();
                let rates = Rates::new(LR);
                state.step(&mut weights, &Gradient::new(&gradient), rates, &mut workspace).unwrap();
            }
            let (found, expected) = (read(&matrix(values(module.weight.val()))), read(&weights));
            let error = distance(&found, &expected);
            assert!(error < ROUNDING * distance(&expected, &before), "{preset}, {groups} groups: {error:e}");
            assert!(largest(&found) > 0.0);
        }
    }
}

#[test]
fn a_linear_of_ones_own_is_known_by_its_bias() {
    /// Burn tells a module's type by this name only.
    #[derive(Module, Debug)]
    struct Linear {
        weight: Param<Tensor<2>>,
        bias: Param<Tensor<1>>,
    }
    let device = device();
    let parameter =
        |shape, seed| Param::from_tensor(random(shape, seed, DType::F32).autodiff().to_device(&device));
    let module = Linear {
        weight: parameter([32, 16], 1),
        bias: Param::from_tensor(random([32], 2, DType::F32).autodiff()),
    };
    assert_eq!(view(&module, "weight"), (32, 16));
    assert_eq!(view(&LinearConfig::new(32, 16).init(&device), "weight"), (16, 32));
    assert_eq!(view(&EmbeddingConfig::new(32, 16).init(&device), "weight"), (32, 16));
}
