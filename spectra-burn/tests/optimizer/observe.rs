//! What a step would do, looked at without taking it.

use crate::common::{bits, distance, gradient, gradients, largest, layer, random, values};
use crate::model::{LR, double, matrices, read, weights};
use burn::tensor::{DType, Tensor};
use spectra_burn::plan::{Plan, Rule, Split};
use spectra_burn::{ErrorKind, Hybrid, Method, SpectralConfig};

#[test]
fn an_observed_run_has_the_bits_of_one_that_is_not() {
    for (preset, method, _) in Method::presets() {
        let config = SpectralConfig::new(method).with_clip_norm(Some(1.0)).with_weight_decay(0.1);
        let (mut seen, names) = double();
        let (mut alone, _) = double();
        let names: Vec<_> = names.iter().map(|(name, _)| *name).collect();
        let (mut watched, mut unwatched) =
            (config.init_for(&seen).unwrap(), config.init_for(&alone).unwrap());
        watched.keep_reports(true);
        for step in 0..3 {
            let (drawn, same) = (gradients(&seen, step), gradients(&alone, step));
            let (reported, steps) = (watched.report("up.weight").is_some(), watched.steps());
            watched.observe(LR, &seen, &drawn, &names).unwrap();
            assert_eq!((watched.report("up.weight").is_some(), watched.steps()), (reported, steps));
            seen = watched.step(LR, seen, drawn).unwrap();
            alone = unwatched.step(LR, alone, same).unwrap();
        }
        for (a, b) in matrices(&seen, weights).iter().zip(matrices(&alone, weights)) {
            let bits = |x| read(x).into_iter().map(f64::to_bits).collect::<Vec<_>>();
            assert_eq!(bits(a), bits(&b), "{preset}");
        }
        assert_eq!(bits(&seen), bits(&alone), "{preset}");
    }
}

#[test]
fn the_update_is_what_the_step_subtracts() {
    for preset in ["spectra", "muon", "adamw", "spectra-adamw", "soap", "dion", "muon-hyperball"] {
        let config = SpectralConfig::preset(preset).unwrap().with_clip_norm(Some(1.0)).with_weight_decay(0.0);
        let (mut model, names) = double();
        let mut optimizer = config.init_for(&model).unwrap();
        let listed: Vec<_> = names.iter().map(|(name, _)| *name).collect();
        for step in 0..2 {
            let drawn = gradients(&model, step);
            let observed = optimizer.observe(LR, &model, &drawn, &listed).unwrap();
            let before: Vec<_> = matrices(&model, weights).iter().map(read).collect();
            model = optimizer.step(LR, model, drawn).unwrap();
            let after: Vec<_> = matrices(&model, weights).iter().map(read).collect();
            for ((name, shape), ((x, y), seen)) in names.iter().zip(before.iter().zip(&after).zip(observed)) {
                assert_eq!(seen.weights.dims(), *shape, "{preset}, {name}");
                assert_eq!(values(seen.weights), *x, "{preset}, {name}");
                let moved: Vec<_> = x.iter().zip(y).map(|(x, y)| (x - y) / LR).collect();
                let update = values(seen.update);
                let norm = update.iter().map(|o| o * o).sum::<f64>().sqrt();
                // An ulp of the weights, which are at most 1, and sums of at most 24 products.
                let bound = 8.0 * f64::EPSILON * (largest(x).max(1.0) / LR + 24.0 * norm);
                assert!(distance(&moved, &update) <= bound, "{preset}, {name}");
            }
        }
    }
}

#[test]
fn blocks_are_observed_by_their_names() {
    let model = layer(random([10, 24], 7, DType::F64));
    let plan = Plan::builder().split("weight", Split::rows([12, 6, 6]).names(["q", "k", "v"]));
    let optimizer = Hybrid::new(&SpectralConfig::preset("muon").unwrap(), &model, &plan).unwrap();
    let drawn = gradient(&model.weight, random([10, 24], 8, DType::F64));
    let seen = optimizer.observe(LR, &model, &drawn, &["weight[v]", "weight[q]"]).unwrap();
    let whole = model.weight.val().inner().transpose();
    let rows = |from: usize, to: usize| -> Vec<f64> { values::<2>(whole.clone().slice([from..to, 0..10])) };
    assert_eq!(values::<2>(seen[0].weights.clone()), rows(18, 24));
    assert_eq!(values::<2>(seen[1].weights.clone()), rows(0, 12));
}

#[test]
fn what_cannot_be_observed_is_refused_by_its_name() {
    let (model, _) = double();
    let plan = Plan::builder().rule("embedding.weight", Rule::Frozen);
    let optimizer = Hybrid::new(&SpectralConfig::preset("spectra").unwrap(), &model, &plan).unwrap();
    let drawn = gradients(&model, 0);
    for name in ["embedding.weight", "no.such.weight"] {
        let error = optimizer.observe(LR, &model, &drawn, &[name]).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Name { name: told, .. } if **told == *name), "{error}");
    }
    let one = gradient(&model.up.weight, random([8, 24], 1, DType::F64));
    let error = optimizer.observe(LR, &model, &one, &["up.weight", "down.weight"]).unwrap_err();
    assert_eq!(error.parameter(), Some("down.weight"));
    let nan: Tensor<2> = random::<2>([8, 24], 1, DType::F64) * f64::NAN;
    let error = optimizer.observe(LR, &model, &gradient(&model.up.weight, nan), &["up.weight"]).unwrap_err();
    assert_eq!(error.parameter(), Some("up.weight"));
    let error = optimizer.observe(-1.0, &model, &drawn, &["up.weight"]).unwrap_err();
    assert!(error.to_string().contains("lr"), "{error}");
}
