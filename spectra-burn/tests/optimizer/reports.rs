//! What a step did.

use crate::common::{gradient, gradients, layer, random};
use crate::model::{LR, double, matrices, read, weights};
use burn::optim::GradientsParams;
use burn::tensor::DType;
use spectra_burn::plan::{Plan, Split};
use spectra_burn::{Hybrid, Method, SpectralConfig};

#[test]
fn a_report_tells_the_size_of_the_update_and_what_the_map_knows() {
    for (preset, method, _) in Method::presets() {
        let config = SpectralConfig::new(method).with_clip_norm(Some(1.0)).with_weight_decay(0.1);
        let (mut model, names) = double();
        let mut optimizer = config.init_for(&model).unwrap();
        let drawn = gradients(&model, 0);
        model = optimizer.step(LR, model, drawn).unwrap();
        assert!(optimizer.report("up.weight").is_none(), "{preset}: nobody asked");
        optimizer.keep_reports(true);
        let before: Vec<_> = matrices(&model, weights).iter().map(read).collect();
        let drawn = gradients(&model, 1);
        model = optimizer.step(LR, model, drawn).unwrap();
        for ((name, _), (x, y)) in names.iter().zip(before.iter().zip(matrices(&model, weights))) {
            let report = optimizer.report(name).unwrap();
            assert_eq!((report.rates.step, report.rates.lr), (1, LR), "{preset}, {name}");
            let moved = x.iter().zip(read(&y)).map(|(x, y)| (y - report.rates.decay() * x).powi(2));
            let rms = (moved.sum::<f64>() / x.len() as f64).sqrt() / LR;
            // Differences of numbers up to about 1, at a rate of 0.02.
            assert!((report.update_rms().unwrap() - rms).abs() <= 1e3 * f64::EPSILON, "{preset}: {rms}");
            assert!(report.gradient_scale.is_some(), "{preset}, {name}");
        }
        let clips = method.recipe().is_some_and(|recipe| recipe.map.threshold().is_some());
        let info = &optimizer.report("up.weight").unwrap().info;
        assert_eq!(info.energy.is_some(), preset == "spectra", "{preset}");
        assert_eq!(info.spectral_norm.is_some(), clips, "{preset}");
        optimizer.keep_reports(false);
        assert!(optimizer.report("up.weight").is_none(), "{preset}");
    }
}

#[test]
fn a_report_is_of_the_last_step_only() {
    let (model, names) = double();
    let mut optimizer = SpectralConfig::preset("spectra").unwrap().init_for(&model).unwrap();
    optimizer.keep_reports(true);
    let drawn = gradients(&model, 0);
    let model = optimizer.step(LR, model, drawn).unwrap();
    assert!(names.iter().all(|(name, _)| optimizer.report(name).is_some()));
    // One that is refused is none.
    let refused = optimizer.step(LR, model, GradientsParams::new()).unwrap_err();
    assert!(names.iter().all(|(name, _)| optimizer.report(name).is_some()));
    let model = refused.module;
    let drawn = gradient(&model.up.weight, random([8, 24], 1, DType::F64));
    let _ = optimizer.step(LR, model, drawn).unwrap();
    for (name, _) in names {
        let step = optimizer.report(name).map(|report| report.rates.step);
        assert_eq!(step, (name == "up.weight").then_some(1), "{name}");
    }
}

#[test]
fn blocks_have_their_own() {
    let model = layer(random([10, 24], 7, DType::F64));
    let plan = Plan::builder().split("weight", Split::rows([12, 6, 6]).names(["q", "k", "v"]));
    let mut optimizer = Hybrid::new(&SpectralConfig::preset("muon").unwrap(), &model, &plan).unwrap();
    optimizer.keep_reports(true);
    let drawn = gradient(&model.weight, random([10, 24], 8, DType::F64));
    let _ = optimizer.step(LR, model, drawn).unwrap();
    for (name, there) in [("weight[q]", true), ("weight[k]", true), ("weight[v]", true), ("weight", false)] {
        assert_eq!(optimizer.report(name).is_some(), there, "{name}");
    }
}
