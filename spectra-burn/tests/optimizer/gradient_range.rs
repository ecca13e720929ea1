//! Gradients of any size: the norm clip of a module, its limits and its finite check.

use crate::common::{Tiny, bits, distance, gradient, gradients, layer, random, values};
use burn::module::Param;
use burn::nn::Linear;
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor, TensorData};
use spectra_burn::{Hybrid, Method, SpectralConfig};
use spectra_core::backend::ErrorKind;

const LR: f64 = 0.01;
const SHAPE: [usize; 2] = [12, 8];

fn start(dtype: DType) -> Linear {
    layer(random(SHAPE, 7, dtype))
}

fn config(preset: &str) -> SpectralConfig {
    SpectralConfig::preset(preset).unwrap().with_weight_decay(0.0)
}

fn optimizer(config: SpectralConfig, model: &Linear) -> Hybrid {
    config.init_for(model).unwrap()
}

/// Ordinary gradients, but for one entry of this size at the second step.
fn drawn(step: u64, spike: f64, dtype: DType) -> Vec<f64> {
    let mut values = values(random(SHAPE, 20 + step, dtype));
    if step == 1 {
        values[5] = spike;
    }
    values
}

fn tensor(values: Vec<f64>, dtype: DType) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, SHAPE), (&Device::flex(), dtype))
}

/// The norm, for entries of any size.
fn norm(values: &[f64]) -> f64 {
    let largest = values.iter().fold(0.0_f64, |a, x| a.max(x.abs()));
    largest * values.iter().map(|x| (x / largest).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn a_clipped_step_is_that_of_the_gradient_scaled_beforehand() {
    let cases =
        [(DType::F32, &[1e-38, 1.0, 1e20, 1e22, 1e30, 3e38][..]), (DType::F64, &[1e-300, 1e160, 1e300])];
    for (dtype, spikes) in cases {
        for preset in ["adamw", "ademamix", "mars", "sgd-m", "spectra"] {
            for (spike, check) in spikes.iter().zip([true, false].into_iter().cycle()) {
                let what = format!("{preset}, {dtype:?}, one entry of {spike:e}, check: {check}");
                let config = config(preset).with_check_finite(check);
                let (mut clipped, mut scaled) = (start(dtype), start(dtype));
                let mut clips = optimizer(config.clone().with_clip_norm(Some(1.0)), &clipped);
                let mut plain = optimizer(config, &scaled);
                for step in 0..4 {
                    let given = values(tensor(drawn(step, *spike, dtype), dtype));
                    let norm = norm(&given);
                    let factor = (1.0 / (norm + 1e-6)).min(1.0);
                    let beforehand = given.iter().map(|x| factor * x).collect();
                    let one = gradient(&clipped.weight, tensor(given, dtype));
                    clipped = clips.step(LR, clipped, one).unwrap();
                    let measured = clips.gradient_norm().unwrap().unwrap();
                    assert!(
                        (measured / norm - 1.0).abs() < 1e-6,
                        "{what}: a norm of {measured:e}, not {norm:e}"
                    );
                    let other = gradient(&scaled.weight, tensor(beforehand, dtype));
                    scaled = plain.step(LR, scaled, other).unwrap();
                }
                let (found, expected) = (values(clipped.weight.val()), values(scaled.weight.val()));
                // Gradients, factor and weights are rounded to f32; four updates have entries of at most 10 LR.
                let tolerance = 4.0 * 10.0 * LR * 64.0 * f64::from(f32::EPSILON);
                let error = distance(&found, &expected);
                assert!(error <= tolerance, "{what}: {error:e}");
                let before = values(start(dtype).weight.val());
                assert!(distance(&found, &before) > LR / 10.0, "{what}: nothing has moved");
            }
        }
    }
}

#[test]
fn a_gradient_too_large_for_its_state_is_refused_by_name() {
    for (preset, taken, refused) in [("adamw", 1e18, 1e20), ("sgd-m", 1e36, 1e38), ("spectra", 1e30, 1e37)] {
        let mut model = start(DType::F32);
        let mut optimizer = optimizer(config(preset), &model);
        for step in [0, 1] {
            let good = gradient(&model.weight, tensor(drawn(step, taken, DType::F32), DType::F32));
            model = optimizer.step(LR, model, good).unwrap();
        }
        assert!(values(model.weight.val()).iter().all(|x| x.is_finite()), "{preset}");
        let (weights, state) = (bits(&model), optimizer.to_bytes().unwrap().to_vec());
        for (bad, non_finite) in [(refused, false), (f64::INFINITY, true), (f64::NAN, true)] {
            let given = gradient(&model.weight, tensor(drawn(1, bad, DType::F32), DType::F32));
            let error = optimizer.step(LR, model, given).unwrap_err();
            assert_eq!(error.error.parameter(), Some("weight"), "{preset}: {}", error.error);
            match error.error.kind() {
                ErrorKind::Range { .. } => assert!(!non_finite, "{preset}, {bad}"),
                ErrorKind::NonFinite { .. } => assert!(non_finite, "{preset}, {bad}"),
                _ => panic!("{preset}, {bad}: {}", error.error),
            }
            model = error.module;
            assert_eq!(bits(&model), weights);
            assert_eq!(optimizer.to_bytes().unwrap().to_vec(), state);
        }
    }
}

/// Under a learner each parameter looks at its own gradient, and what is refused ends the run.
#[test]
fn under_burns_own_type_a_gradient_too_large_is_refused() {
    let mut optimizer = burn::optim::ModuleOptimizer::from(config("sgd-m").build().unwrap());
    let model = start(DType::F32);
    let given = gradient(&model.weight, tensor(drawn(1, 3e38, DType::F32), DType::F32));
    let step = std::panic::AssertUnwindSafe(|| optimizer.step(LR, model, given));
    let text = *std::panic::catch_unwind(step).map(|_| ()).unwrap_err().downcast::<String>().unwrap();
    assert!(text.contains("the largest entry of the gradient"), "{text}");
}

/// Also where only one of the types has room for it.
#[test]
fn parameters_of_two_types_have_one_norm() {
    // Shows the gradient that was used: X - X' = lr G.
    let recipe = Method::preset("sgd-m").unwrap();
    let config = SpectralConfig::new(recipe).with_elementwise(Some(recipe)).with_clip_norm(Some(0.5));
    for size in [1.0, 1e200] {
        let mut model = Tiny::new(24, 1);
        let wide = model.up.weight.val().inner().cast(DType::F64).autodiff().require_grad();
        model.up.weight = Param::initialized(model.up.weight.id, wide);
        let mut optimizer = config.init_for(&model).unwrap();
        let mut given = gradients(&model, 3);
        given.remove::<2>(model.up.weight.id);
        given.register::<2>(model.up.weight.id, random([8, 24], 5, DType::F64) * size);
        let of = |given: &GradientsParams, model: &Tiny| {
            [
                values(given.get::<2>(model.up.weight.id).unwrap()),
                values(given.get::<2>(model.down.weight.id).unwrap()),
                values(given.get::<2>(model.embedding.weight.id).unwrap()),
                values(given.get::<1>(model.up.bias.as_ref().unwrap().id).unwrap()),
                values(given.get::<1>(model.norm.gamma.id).unwrap()),
            ]
        };
        let gradients = of(&given, &model);
        let norm = size * gradients.iter().flatten().map(|x| (x / size).powi(2)).sum::<f64>().sqrt();
        let factor = (0.5 / (norm + 1e-6)).min(1.0);
        let weights = |model: &Tiny| [values(model.up.weight.val()), values(model.down.weight.val())];
        let before = weights(&model);
        let model = optimizer.step(0.1, model, given).unwrap();
        let told = optimizer.gradient_norm().unwrap().unwrap();
        // Squares and their sum, in f64.
        assert!((told / norm - 1.0).abs() < 1e3 * f64::EPSILON, "{told:e} {norm:e}");
        // Roundings of weights of size 1, in f64 and f32.
        for (((found, before), gradient), eps) in
            weights(&model).iter().zip(&before).zip(&gradients).zip([f64::EPSILON, f64::from(f32::EPSILON)])
        {
            for ((found, before), gradient) in found.iter().zip(before).zip(gradient) {
                let expected = before - 0.1 * factor * gradient;
                assert!((found - expected).abs() <= 4.0 * eps, "{size:e}: {found} {expected}");
            }
        }
        assert_ne!(weights(&model)[0], before[0]);
    }
}
