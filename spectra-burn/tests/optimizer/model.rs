//! The optimizer of a module against the core's optimizer on the same matrices.

use crate::common::{Tiny, bits, distance, gradient, gradients, largest, layer, random, values};
use burn::module::Param;
use burn::nn::conv::Conv2dConfig;
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor};
use spectra_burn::{Hybrid, SpectralConfig};
use spectra_core::backend::{Backend, Gradient, Matrix};
use spectra_core::faer::{Faer, FaerMatrix};
use spectra_core::linalg::Workspace;
use spectra_core::optimizer::plan::{Plan, Rule};
use spectra_core::optimizer::{Config, Method, Optimizer, ParameterState, PreClip, Rates};

pub(crate) const LR: f64 = 0.02;

/// The most that rounding may change a movement of weights, as a share of the largest: the two sides run the same
/// formulas in f64 and differ in the order of sums only. No sum has more than 40 terms, no step more than 30 products
/// in a row, and five quintic steps, the least stable of all maps, multiply an error by 3.4445^5 < 485.
pub(crate) const ROUNDING: f64 = 485.0 * 30.0 * 40.0 * f64::EPSILON;

pub(crate) fn upload(tensor: Tensor<2>) -> FaerMatrix<f64> {
    let [rows, cols] = tensor.dims();
    Faer::<f64>::new().upload(rows, cols, &values(tensor)).unwrap()
}

pub(crate) fn read(matrix: &FaerMatrix<f64>) -> Vec<f64> {
    let (rows, cols) = matrix.shape();
    let mut out = vec![0.0; rows * cols];
    matrix.read(&mut out).unwrap();
    out
}

#[test]
fn a_linear_layer_is_the_transposed_matrix() {
    let shape = [40, 24];
    for (preset, method, _) in Method::presets() {
        let start = random(shape, 7, DType::F64);
        let mut model = layer(start.clone());
        let mut optimizer = SpectralConfig::new(method).init_for(&model).unwrap();
        let mut weights = upload(start.clone().transpose());
        let mut state = ParameterState::<Faer<f64>, _>::new(method).unwrap();
        let mut workspace = Workspace::new(Faer::new());
        for step in 0..4 {
            let given = random(shape, 200 + step, DType::F64);
            let drawn = gradient(&model.weight, given.clone());
            model = optimizer.step(LR, model, drawn).unwrap();
            let rates = Rates::new(LR);
            let given = upload(given.transpose());
            state.step(&mut weights, &Gradient::new(&given), rates, &mut workspace).unwrap();
        }
        let (found, expected) = (values(model.weight.val().inner().transpose()), read(&weights));
        let start = values(start.transpose());
        let error = distance(&found, &expected);
        assert!(error < ROUNDING * distance(&expected, &start), "{preset}: {error:e}");
    }
}

/// The module of the tests in f64 and its matrices, rows = output features.
pub(crate) fn double() -> (Tiny, Vec<(&'static str, [usize; 2])>) {
    let mut model = Tiny::new(24, 1);
    fn widen<const D: usize>(param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        Param::initialized(param.id, param.val().inner().cast(DType::F64).autodiff().require_grad())
    }
    model.embedding.weight = widen(model.embedding.weight);
    model.up.weight = widen(model.up.weight);
    model.up.bias = model.up.bias.map(widen);
    model.norm.gamma = widen(model.norm.gamma);
    model.down.weight = widen(model.down.weight);
    let names = [
        ("embedding.weight", [11, 8]),
        ("up.weight", [24, 8]),
        ("up.bias", [1, 24]),
        ("norm.gamma", [1, 24]),
        ("down.weight", [8, 24]),
    ];
    (model, names.to_vec())
}

/// All parameters as the core sees them.
pub(crate) fn matrices(model: &Tiny, of: impl Fn(&Tiny) -> [Tensor<2>; 5]) -> Vec<FaerMatrix<f64>> {
    of(model).into_iter().map(upload).collect()
}

pub(crate) fn weights(model: &Tiny) -> [Tensor<2>; 5] {
    let row = |x: Tensor<1>| x.inner().reshape([1, 24]);
    [
        model.embedding.weight.val().inner(),
        model.up.weight.val().inner().transpose(),
        row(model.up.bias.as_ref().unwrap().val()),
        row(model.norm.gamma.val()),
        model.down.weight.val().inner().transpose(),
    ]
}

pub(crate) fn given(model: &Tiny, gradients: &GradientsParams) -> [Tensor<2>; 5] {
    let row = |x: Option<Tensor<1>>| x.unwrap().reshape([1, 24]);
    [
        gradients.get::<2>(model.embedding.weight.id).unwrap(),
        gradients.get::<2>(model.up.weight.id).unwrap().transpose(),
        row(gradients.get::<1>(model.up.bias.as_ref().unwrap().id)),
        row(gradients.get::<1>(model.norm.gamma.id)),
        gradients.get::<2>(model.down.weight.id).unwrap().transpose(),
    ]
}

#[test]
fn plan_clips_and_factors_are_the_cores() {
    for preset in ["spectra", "spectra-adamw", "muon"] {
        let config = Config::preset(preset)
            .unwrap()
            .lr(LR)
            .elementwise_lr(LR / 4.0)
            .weight_decay(0.1)
            .clip_norm(0.5)
            .pre_clip(PreClip::new(0.3));
        let (mut model, names) = double();
        let mut optimizer = SpectralConfig::try_from(config).unwrap().init_for(&model).unwrap();
        let plan = Plan::builder();
        let plan = plan.build([
            ("embedding.weight", &[11, 8][..]),
            ("up.weight", &[24, 8]),
            ("up.bias", &[24]),
            ("norm.gamma", &[24]),
            ("down.weight", &[8, 24]),
        ]);
        let mut core = Optimizer::new(Faer::<f64>::new(), config, plan.unwrap().parameters()).unwrap();
        assert_eq!(optimizer.state_bytes(), core.state_bytes(), "{preset}");
        let mut expected = matrices(&model, weights);
        let start: Vec<_> = expected.iter().map(read).collect();
        for step in 0..4 {
            let factor = 1.5 - 0.25 * step as f64;
            optimizer.set_clip_factor(factor).unwrap();
            optimizer.set_pre_clip_factor(1.0 / factor).unwrap();
            core.set_clip_factor(factor).unwrap();
            core.set_pre_clip_factor(1.0 / factor).unwrap();
            let drawn = gradients(&model, step);
            let uploaded = given(&model, &drawn).map(upload);
            let squares: f64 = uploaded.iter().flat_map(read).map(|x| x * x).sum();
            core.step(&mut expected.iter_mut().zip(&uploaded).collect::<Vec<_>>()).unwrap();
            model = optimizer.step(LR, model, drawn).unwrap();
            let norm = optimizer.gradient_norm().unwrap().unwrap();
            assert!((norm - squares.sqrt()).abs() < 1e3 * f64::EPSILON * norm, "the norm before all clips");
        }
        for (index, (name, _)) in names.iter().enumerate() {
            let (found, expected) = (read(&matrices(&model, weights)[index]), read(&expected[index]));
            let moved = distance(&expected, &start[index]);
            let error = distance(&found, &expected);
            assert!(moved > 0.0 && error < ROUNDING * moved, "{preset}, {name}: {error:e} of {moved:e}");
        }
    }
}

#[test]
fn half_precision_weights_take_single_precision_steps() {
    let shape = [40, 24];
    for dtype in [DType::BF16, DType::F16] {
        let stepped = |cast: DType| {
            let model = layer(random(shape, 7, dtype).cast(cast));
            let mut optimizer = SpectralConfig::preset("spectra").unwrap().init_for(&model).unwrap();
            let given = gradient(&model.weight, random(shape, 100, dtype).cast(cast));
            optimizer.step(LR, model, given).unwrap().weight.val().inner()
        };
        let half = stepped(dtype);
        assert_eq!(half.dtype(), dtype);
        assert_eq!(values(half), values(stepped(DType::F32).cast(dtype)), "{dtype:?}: rounded once");
    }
}

#[test]
fn the_plan_tells_embeddings_and_vectors_apart() {
    let model = Tiny::new(24, 1);
    let optimizer = SpectralConfig::preset("spectra").unwrap().init_for(&model).unwrap();
    let rule = |name: &str| optimizer.plan().get(name).map(|entry| entry.rule().to_string());
    for (name, expected) in [
        ("embedding.weight", "elementwise"),
        ("up.bias", "elementwise"),
        ("norm.gamma", "elementwise"),
        ("up.weight", "spectral"),
        ("down.weight", "spectral"),
    ] {
        assert_eq!(rule(name).as_deref(), Some(expected), "{name}");
    }
    assert_eq!(optimizer.plan().get("up.weight").map(|entry| entry.view()), Some((24, 8)));
    assert!(optimizer.plan().table(*optimizer.settings()).to_string().contains("embedding.weight"));
}

#[test]
fn a_plan_of_ones_own_freezes_and_flattens() {
    let device = Device::flex().autodiff();
    let model = Conv2dConfig::new([3, 8], [3, 3]).init(&device);
    let start = values(model.weight.val());
    let builder = Plan::builder().rule("bias", Rule::Frozen);
    let mut optimizer = Hybrid::new(&SpectralConfig::preset("muon").unwrap(), &model, &builder).unwrap();
    assert_eq!(optimizer.plan().get("weight").map(|entry| entry.view()), Some((8, 27)));
    let bias = values(model.bias.as_ref().unwrap().val());
    let drawn = gradients(&model, 3);
    let given = drawn.get::<4>(model.weight.id).unwrap();
    let model = optimizer.step(LR, model, drawn).unwrap();
    assert_eq!(values(model.bias.as_ref().unwrap().val()), bias);

    let dense = layer(Tensor::from_data(model_data(&start, [8, 27]), &Device::flex()).transpose());
    let mut flat = SpectralConfig::preset("muon").unwrap().init_for(&dense).unwrap();
    let given = gradient(&dense.weight, given.reshape([8, 27]).transpose());
    let dense = flat.step(LR, dense, given).unwrap();
    let (found, expected) = (values(model.weight.val()), values(dense.weight.val().inner().transpose()));
    // The same kernels on the same order of entries, or its transpose.
    let tolerance = ROUNDING * f64::from(f32::EPSILON) / f64::EPSILON * largest(&expected);
    assert!(distance(&found, &expected) < tolerance);
    assert_ne!(found, start);
}

fn model_data(values: &[f64], shape: [usize; 2]) -> burn::tensor::TensorData {
    burn::tensor::TensorData::new(values.iter().map(|x| *x as f32).collect::<Vec<_>>(), shape)
}

#[test]
fn burns_groups_schedulers_and_clipping_work_on_it() {
    use burn::grad_clipping::GradientClippingConfig;
    use burn::lr_scheduler::linear::LinearLrSchedulerConfig;
    use burn::module::ParamGroup;
    use burn::optim::AdamWConfig;

    let start = Tiny::new(24, 1);
    let config = SpectralConfig::preset("spectra").unwrap();
    let clipping = GradientClippingConfig::Norm(0.5);
    let group = || ParamGroup::from_ids(vec![start.up.weight.id, start.down.weight.id]);
    let mut optimizer =
        AdamWConfig::new().init().with_group(group(), config.build().unwrap(), Some(clipping.init()));
    let mut scheduler = LinearLrSchedulerConfig::new(0.02, 0.002, 4).init().unwrap();
    let mut alone = AdamWConfig::new().init();
    let mut hybrid = config.init_for(&start).unwrap();
    let mut by_hybrid = start.clone();
    let mut whole = config.clone().with_grad_clipping(Some(clipping.clone())).init().unwrap();
    let (mut grouped, mut by_adamw, mut by_ours) = (start.clone(), start.clone(), start.clone());
    for step in 0..4 {
        let lr = scheduler.step();
        assert!(step == 0 || lr.base() < 0.02);
        let lr = || lr.clone();
        grouped = optimizer.step(lr(), grouped, gradients(&start, step));
        by_adamw = alone.step(lr(), by_adamw, gradients(&start, step));
        by_hybrid = hybrid.step(lr(), by_hybrid, gradients(&start, step)).unwrap();
        by_ours = whole.step(lr(), by_ours, gradients(&start, step));
    }
    assert_eq!(
        bits(&grouped.up),
        [bits_of(&by_ours.up.weight), bits_of(by_adamw.up.bias.as_ref().unwrap())].concat()
    );
    assert_eq!(bits(&grouped.down), bits(&by_ours.down));
    assert_eq!(bits(&grouped.embedding), bits(&by_adamw.embedding));
    assert_ne!(bits(&by_ours.down), bits(&by_adamw.down));
    assert_ne!(bits(&by_hybrid.down), bits(&start.down));
}

fn bits_of<const D: usize>(param: &Param<Tensor<D>>) -> Vec<u32> {
    values(param.val()).iter().map(|x| (*x as f32).to_bits()).collect()
}
