//! The same gradients through burn's own optimizers and ours.

use crate::common::{distance, gradient, largest, layer, random, values};
use burn::optim::{AdamWConfig, ModuleOptimizer, MuonConfig};
use burn::tensor::DType;
use spectra_burn::{Orientation, SpectralConfig};
use spectra_core::directions::Direction;
use spectra_core::optimizer::Recipe;

const SHAPE: [usize; 2] = [40, 24];
const LR: f64 = 0.02;

/// Unit roundoff of f32, in which burn's optimizers keep their settings whatever the weights are.
const UNIT: f64 = f32::EPSILON as f64 / 2.0;

/// How far the weights moved in some steps.
fn moved(mut optimizer: ModuleOptimizer, dtype: DType, steps: u64) -> Vec<f64> {
    let start = random(SHAPE, 7, dtype);
    let mut model = layer(start.clone());
    for step in 0..steps {
        let gradient = gradient(&model.weight, random(SHAPE, 100 + step, dtype));
        model = optimizer.step(LR, model, gradient);
    }
    values(model.weight.val().inner() - start)
}

fn ours(recipe: Recipe) -> ModuleOptimizer {
    // Burn's Muon takes its step scale from the shape as it is stored.
    SpectralConfig::new(recipe.into()).with_orientation(Orientation::OutByIn).init().unwrap()
}

#[test]
fn adamw_is_burns() {
    let recipe = Recipe::adamw().with_weight_decay(0.1);
    let Direction::Adam(adam) = recipe.direction else { panic!("adamw's direction is Adam") };
    let burns = AdamWConfig::new()
        .with_beta_1(adam.beta1 as f32)
        .with_beta_2(adam.beta2 as f32)
        .with_epsilon(adam.eps as f32)
        .with_weight_decay(0.1);
    for dtype in [DType::F32, DType::F64] {
        let (a, b) = (moved(ours(recipe), dtype, 10), moved(burns.init(), dtype, 10));
        let error = distance(&a, &b) / largest(&b);
        println!("AdamW, {dtype:?}: {error:.2e}");
        // Burn's 1 - beta^t, about t (1 - beta), is off by t units for its power and t for its beta: a share of
        // 2 u / (1 - beta), of which the root of the second moment takes half. The weights, below 1, are rounded
        // three times in each of ten steps (f32), beside a largest movement of about ten learning rates.
        let corrections = UNIT / (1.0 - adam.beta2) + 2.0 * UNIT / (1.0 - adam.beta1);
        let rounding = 30.0 * UNIT / largest(&b);
        assert!(error < corrections + rounding, "{dtype:?}: {error:e}");
    }
}

#[test]
fn muon_is_burns() {
    let steps = 5;
    let recipe = Recipe::preset("muon").unwrap();
    for dtype in [DType::F32, DType::F64] {
        let (a, b) = (moved(ours(recipe), dtype, steps), moved(MuonConfig::new().init(), dtype, steps));
        let error = distance(&a, &b);
        // An entry of a difference is at most its spectral norm. One quintic step on singular values up to about 1
        // makes an error of (|a| + |b| + |c|) times that of a coefficient (f32) or of a sum of 40 products in
        // three multiplications (f32 weights; such errors grow like the root of 40). Later quintic steps
        // multiply it by at most a = 3.4445 each.
        let one =
            (3.4445 + 4.775 + 2.0315) * UNIT * if dtype == DType::F64 { 1.0 } else { 3.0 * 40f64.sqrt() };
        let all = one * (0..5).map(|later| 3.4445f64.powi(later)).sum::<f64>();
        let [rows, cols] = SHAPE;
        let tolerance = steps as f64 * LR * (rows as f64 / cols as f64).sqrt() * all;
        println!("Muon, {dtype:?}: {error:.2e} of {:.2e}; tolerance {tolerance:.2e}", largest(&b));
        assert!(error < tolerance, "{dtype:?}: {error:e}");
        assert!(tolerance < 0.02 * largest(&b), "a wrong formula would show");
    }
}
