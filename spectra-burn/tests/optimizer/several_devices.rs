//! Gradients of several devices in one step. The CPU is one device to burn, so here every device is it: what is shown are the sums,
//! the verdict over all of them, and that burn's learner does the same; nothing moves.

use crate::common::{Tiny, bits, gradients, random};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer, MultiGradientsParams};
use burn::tensor::{DType, Device, Int, Tensor};
use spectra_burn::{Hybrid, SpectralConfig};
use spectra_core::backend::ErrorKind;
use spectra_core::optimizer::Method;
use std::thread;

const LR: f64 = 0.01;

fn device() -> Device {
    Device::flex().autodiff()
}

fn config() -> SpectralConfig {
    SpectralConfig::preset("spectra").unwrap().with_weight_decay(0.1)
}

/// The gradients of a step on each of this many devices.
fn drawn(model: &Tiny, step: u64, devices: usize) -> Vec<GradientsParams> {
    (0..devices as u64).map(|at| gradients(model, 10 * step + at)).collect()
}

fn multi(gradients: Vec<GradientsParams>) -> MultiGradientsParams {
    MultiGradientsParams { grads: gradients.into_iter().map(|gradients| (gradients, device())).collect() }
}

/// The sum that burn documents: on the device `id mod N`, then the others in their order.
fn sum(model: &Tiny, gradients: &[GradientsParams]) -> GradientsParams {
    struct Sum<'a>(&'a [GradientsParams], GradientsParams);
    impl ModuleVisitor for Sum<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let (n, id) = (self.0.len(), param.id);
            let Some(first) =
                (0..n).map(|at| (id.val() as usize + at) % n).find(|at| has::<D>(&self.0[*at], id))
            else {
                return;
            };
            let others = (0..n).filter(|at| *at != first).filter_map(|at| self.0[at].get::<D>(id));
            let first = self.0[first].get::<D>(id).unwrap();
            self.1.register(id, others.fold(first, |sum, other| sum + other));
        }
    }
    fn has<const D: usize>(gradients: &GradientsParams, id: burn::module::ParamId) -> bool {
        gradients.get::<D>(id).is_some()
    }
    let mut sum = Sum(gradients, GradientsParams::new());
    model.visit(&mut sum);
    sum.1
}

#[test]
fn a_step_is_that_of_the_sums_in_burns_order() {
    for (preset, ..) in Method::presets() {
        for devices in [1, 2, 3, 7] {
            // A clip that bites: the norm is that of all sums.
            let config = SpectralConfig::preset(preset).unwrap().with_clip_norm(Some(0.5));
            let mut one = Tiny::new(24, 1);
            let mut many = one.clone();
            let (mut of_one, mut of_many) = (config.init_for(&one).unwrap(), config.init_for(&many).unwrap());
            for step in 0..3 {
                let gradients = sum(&one, &drawn(&one, step, devices));
                one = of_one.step(LR, one, gradients).unwrap();
                let gradients = multi(drawn(&many, step, devices));
                many = of_many.step_multi(LR, many, gradients).unwrap();
                let norms = (of_many.gradient_norm().unwrap(), of_one.gradient_norm().unwrap());
                assert_eq!(norms.0, norms.1, "{preset}, {devices} devices");
                assert!(norms.0 > Some(0.5));
            }
            assert_eq!(bits(&one), bits(&many), "{preset}, {devices} devices");
            let (one, many) = (of_one.snapshot::<f32>().unwrap(), of_many.snapshot::<f32>().unwrap());
            assert!(one == many, "{preset}, {devices} devices: the states differ");
        }
    }
}

/// The loss of a batch on a replica, and what it learns from it.
fn learn(replica: &Tiny, batch: u64) -> GradientsParams {
    let tokens: Vec<i64> = (0..12).map(|at| ((7 * batch + 5 * at) % 11) as i64).collect();
    let tokens = Tensor::<1, Int>::from_data(tokens.as_slice(), &device()).reshape([3, 4]);
    let hidden = replica.up.forward(replica.embedding.forward(tokens));
    let loss = replica.down.forward(replica.norm.forward(hidden)).square().mean();
    GradientsParams::from_grads(loss.backward(), replica)
}

/// What the workers of burn's learner find: each forks the model to its device, on a thread of its own.
fn work(model: &Tiny, step: u64) -> Vec<GradientsParams> {
    let worker = |at: u64| {
        let model = model.clone();
        thread::spawn(move || learn(&model.fork(&device()), 2 * step + at))
    };
    let workers = [0, 1].map(worker);
    workers.into_iter().map(|worker| worker.join().unwrap()).collect()
}

#[test]
fn burns_learner_on_several_devices_takes_the_same_steps() {
    let start = Tiny::new(24, 1);
    let mut hybrid = config().init_for(&start).unwrap();
    let [mut sharded, mut main]: [ModuleOptimizer; 2] = std::array::from_fn(|_| hybrid.optimizer().unwrap());
    let [mut ours, mut by_sharded, mut by_main] = std::array::from_fn(|_| start.clone());
    for step in 0..4 {
        let gradients = multi(work(&ours, step));
        ours = hybrid.step_multi(LR, ours, gradients).unwrap();

        // `MultiDeviceOptim::OptimSharded`
        let gradients = multi(work(&by_sharded, step));
        by_sharded = sharded.step_multi(LR, by_sharded, gradients);

        // `MultiDeviceOptim::OptimMainDevice`; two numbers have one sum.
        let mut accumulator = GradientsAccumulator::new();
        for gradients in work(&by_main, step) {
            accumulator.accumulate(&by_main, gradients.to_device(&device(), &by_main));
        }
        by_main = main.step(LR, by_main, accumulator.grads());

        assert_eq!(bits(&by_sharded), bits(&ours), "step {step}");
        assert_eq!(bits(&by_main), bits(&ours), "step {step}");
    }
    assert_ne!(bits(&ours), bits(&start));
    assert_eq!(hybrid.steps(), 4);
}

#[test]
fn a_nan_on_any_device_is_refused_by_name_and_changes_nothing() {
    let start = Tiny::new(24, 1);
    let mut optimizer = config().with_clip_norm(Some(1.0)).init_for(&start).unwrap();
    let first = multi(drawn(&start, 0, 3));
    let mut model = optimizer.step_multi(LR, start, first).unwrap();
    let (weights, state) = (bits(&model), optimizer.snapshot::<f32>().unwrap());
    for at in 0..3 {
        for value in [f32::NAN, f32::INFINITY] {
            let mut drawn = drawn(&model, 1, 3);
            drawn[at].register::<1>(
                model.norm.gamma.id,
                Tensor::full([24], value, (&device(), DType::F32)).inner(),
            );
            let refused = optimizer.step_multi(LR, model, multi(drawn)).unwrap_err();
            assert!(matches!(refused.error.kind(), ErrorKind::NonFinite { .. }), "{}", refused.error);
            assert_eq!(refused.error.parameter(), Some("norm.gamma"), "device {at}");
            model = refused.module;
            assert_eq!(bits(&model), weights, "device {at}");
            assert!(optimizer.snapshot::<f32>().unwrap() == state, "device {at}");
        }
    }
    // Finite numbers without a finite sum.
    let mut drawn = drawn(&model, 1, 3);
    for gradients in &mut drawn {
        gradients.register::<2>(model.up.weight.id, random([8, 24], 1, DType::F32) * 0.0 + f32::MAX);
    }
    let refused = optimizer.step_multi(LR, model, multi(drawn)).unwrap_err();
    assert_eq!(refused.error.parameter(), Some("up.weight"));
    assert_eq!((bits(&refused.module), optimizer.steps()), (weights, 1));
}

#[test]
fn a_parameter_takes_the_gradients_that_there_are() {
    let (mut one, mut optimizers) = (Tiny::new(24, 1), Vec::new());
    let mut many = one.clone();
    for _ in 0..2 {
        optimizers.push(config().with_require_gradients(Some(true)).init_for(&one).unwrap());
    }
    let [of_one, of_many] = &mut optimizers[..] else { panic!("two") };
    // None on the device that burn would choose, whichever it is, in one of the steps.
    for step in 0..3 {
        let without = |model: &Tiny| {
            let mut drawn = drawn(model, step, 3);
            drawn[step as usize].remove::<2>(model.up.weight.id).unwrap();
            drawn
        };
        let gradients = sum(&one, &without(&one));
        one = of_one.step(LR, one, gradients).unwrap();
        let gradients = multi(without(&many));
        many = of_many.step_multi(LR, many, gradients).unwrap();
        assert_eq!(of_many.missing_gradients().len(), 0);
        assert_eq!(bits(&one), bits(&many), "step {step}");
    }
    let weights = bits(&many);
    let without_any = |model: &Tiny| {
        let mut drawn = drawn(model, 3, 3);
        drawn.iter_mut().for_each(|gradients| drop(gradients.remove::<2>(model.up.weight.id)));
        multi(drawn)
    };
    let gradients = without_any(&many);
    let refused = of_many.step_multi(LR, many, gradients).unwrap_err();
    assert!(matches!(refused.error.kind(), ErrorKind::MissingGradient { .. }), "{}", refused.error);
    assert_eq!(refused.error.parameter(), Some("up.weight"));
    assert_eq!(bits(&refused.module), weights);

    let mut lenient = config().init_for(&refused.module).unwrap();
    let gradients = without_any(&refused.module);
    let stepped = lenient.step_multi(LR, refused.module, gradients).unwrap();
    assert_eq!(lenient.missing_gradients().collect::<Vec<_>>(), ["up.weight"]);
    for nothing in
        [MultiGradientsParams::default(), multi(vec![GradientsParams::new(), GradientsParams::new()])]
    {
        let refused = lenient.step_multi(LR, stepped.clone(), nothing).unwrap_err();
        assert!(matches!(refused.error.kind(), ErrorKind::MissingGradient { .. }), "{}", refused.error);
    }
}

#[test]
fn a_state_goes_from_several_devices_to_one_and_back() {
    let config = config().with_clip_norm(Some(1.0));
    let start = Tiny::new(24, 1);
    let several = |optimizer: &mut Hybrid, model: Tiny, step| {
        let gradients = multi(drawn(&model, step, 3));
        optimizer.step_multi(LR, model, gradients).unwrap()
    };
    let mut optimizer = config.init_for(&start).unwrap();
    let mut expected = start.clone();
    for step in 0..6 {
        expected = several(&mut optimizer, expected, step);
    }

    let mut model = start;
    let mut optimizer = config.init_for(&model).unwrap();
    for step in 0..6 {
        // A new optimizer takes over at every second step.
        if step % 2 == 0 {
            let saved = optimizer.to_bytes().unwrap();
            optimizer = config.init_for(&model).unwrap();
            assert_eq!(optimizer.load_bytes(saved).unwrap().steps, step);
        }
        model = if (2..4).contains(&step) {
            let gradients = sum(&model, &drawn(&model, step, 3));
            optimizer.step(LR, model, gradients).unwrap()
        } else {
            several(&mut optimizer, model, step)
        };
    }
    assert_eq!(bits(&model), bits(&expected));
}

#[test]
fn gradients_that_do_not_fit_each_other_are_refused_by_name() {
    let model = Tiny::new(24, 1);
    let mut optimizer = config().with_check_finite(false).init_for(&model).unwrap();
    let weights = bits(&model);
    let mut other_shape = drawn(&model, 0, 2);
    other_shape[1].register::<2>(model.up.weight.id, random([24, 8], 1, DType::F32));
    let mut other_type = drawn(&model, 0, 2);
    other_type[1].register::<2>(model.up.weight.id, random([8, 24], 1, DType::BF16));
    let mut on_all = drawn(&model, 0, 2);
    for gradients in &mut on_all {
        gradients.register::<2>(model.up.weight.id, random([24, 8], 1, DType::F32));
    }
    let is_shape = |kind: &ErrorKind| matches!(kind, ErrorKind::Shape { .. });
    for (drawn, shape) in [(other_shape, true), (other_type, false), (on_all, true)] {
        let refused = optimizer.step_multi(LR, model.clone(), multi(drawn)).unwrap_err();
        assert_eq!(refused.error.parameter(), Some("up.weight"), "{}", refused.error);
        assert_eq!(is_shape(refused.error.kind()), shape, "{}", refused.error);
        assert_eq!(bits(&refused.module), weights);
    }
    assert_eq!(optimizer.steps(), 0);

    // Of a parameter that the plan has not, and of a module without autodiff: burn's own step would panic.
    let other = Tiny::new(24, 2);
    let gradients = multi(drawn(&other, 0, 2));
    assert!(optimizer.step_multi(LR, other, gradients).is_err());
    let plain = burn::nn::LinearConfig::new(8, 4).init(&Device::flex());
    let mut optimizer = config().init_for(&plain).unwrap();
    let gradients = multi(vec![gradients_of(&plain), gradients_of(&plain)]);
    let refused = optimizer.step_multi(LR, plain, gradients).unwrap_err();
    assert!(matches!(refused.error.kind(), ErrorKind::Unsupported { .. }), "{}", refused.error);
}

fn gradients_of<M: Module>(module: &M) -> GradientsParams {
    gradients(module, 1)
}
