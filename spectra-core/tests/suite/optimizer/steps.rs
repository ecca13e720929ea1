//! Steps: norm clip, learning rates, pre-clip, wrong arguments. Non-finite gradients, frozen parameters and saved buffers are
//! checked by the conformance suite, too, on every backend.

use super::*;
use spectra_core::backend::Matrix;

#[test]
fn the_norm_clip_equals_scaling_the_gradients() {
    let config = Config::preset("adamw").expect("preset").lr(0.1);
    let (mut clipped, mut plain) = (optimizer(config.clip_norm(0.5)), optimizer(config));
    let (mut x, mut y) = (weights(), weights());
    for t in 0..5 {
        let g = gradients(t);
        let norm = (0..2).map(|i| g[i].dot(&g[i]).expect("host")).sum::<f64>().sqrt();
        let factor = (0.5 / (norm + 1e-6)).min(1.0);
        let scaled = g.clone().map(|m| {
            let (rows, cols) = m.shape();
            DenseMatrix::from_fn(rows, cols, |i, j| factor * m.values()[i * cols + j])
        });
        step(&mut clipped, &mut x, &g).expect("finite");
        step(&mut plain, &mut y, &scaled).expect("finite");
    }
    for (x, y) in x.iter().zip(&y) {
        for (a, b) in x.values().iter().zip(y.values()) {
            // Five Adam steps of a few roundings each.
            assert!((a - b).abs() <= 64.0 * f64::EPSILON, "{a} {b}");
        }
    }
}

#[test]
fn both_learning_rates_are_set_together() {
    let config = Config::preset("adamw").expect("preset").lr(0.1).elementwise_lr(0.02).weight_decay(0.0);
    let mut optimizer = optimizer(config);
    optimizer.set_learning_rate(0.2).expect("valid");
    let mut x = weights();
    step(&mut optimizer, &mut x, &gradients(0)).expect("finite");
    // Adam's first step is lr sign(G) up to eps / |G|.
    let moved = |i: usize| (x[i].values()[3] - weights()[i].values()[3]).abs();
    assert!((moved(0) - 0.2).abs() < 1e-6 && (moved(1) - 0.04).abs() < 1e-6, "{} {}", moved(0), moved(1));
    assert!(optimizer.set_learning_rate(f64::NAN).is_err() && optimizer.set_learning_rate(-1.0).is_err());
}

#[test]
fn sizes_that_cannot_be_are_errors() {
    let huge = 1_usize << (usize::BITS - 1);
    assert!(Dense::<f64>::new().zeros(huge, 2, None).is_err());
    assert!(Dense::<f64>::new().zeros(huge / 4, 1, None).is_err());
    assert!(M::from_vec(huge, 2, Vec::new()).is_err());
    // Three buffers of this size are more numbers than a usize counts.
    let recipe = Config::preset("spectra-ademamix").expect("preset").spectral;
    assert_eq!(recipe.state_numbers(huge / 4, 3), usize::MAX);
}

#[test]
fn wrong_arguments_are_refused() {
    let config = Config::preset("spectra").expect("preset");
    let twice = [spec("a", 2, 2, Rule::Spectral), spec("a", 2, 2, Rule::Spectral)];
    assert!(Optimizer::new(Dense::<f64>::new(), config, twice).is_err());
    for bad in [f64::NAN, -1.0, f64::INFINITY] {
        assert!(Optimizer::new(Dense::<f64>::new(), config.lr(bad), specs()).is_err(), "{bad}");
        assert!(Optimizer::new(Dense::<f64>::new(), config.weight_decay(bad), specs()).is_err(), "{bad}");
    }
    assert!(Optimizer::new(Dense::<f64>::new(), config.clip_norm(0.0), specs()).is_err());
    let mut optimizer = optimizer(config);
    let mut x = weights();
    x[0] = random(1, 20, 12);
    let error = step(&mut optimizer, &mut x, &gradients(0)).expect_err("shape");
    assert_eq!(error.parameter(), Some("mlp"));
}

#[test]
fn the_pre_clip_bounds_the_gradient_and_comes_before_the_norm_clip() {
    use spectra_core::linalg::Workspace;
    use spectra_core::maps::SoftClip;
    use spectra_core::optimizer::PreClip;
    // SGD without momentum shows the gradient that was used: X - X' = lr G.
    let mut config = Config::preset("sgd-m").expect("preset").lr(1.0);
    config.elementwise = config.spectral;
    let mut workspace = Workspace::new(Dense::<f64>::new());
    let mut clipped = gradients(0);
    let c = 0.25;
    SoftClip::AUTO.apply(&gradients(0)[0], c, &mut clipped[0], &mut workspace).expect("finite");
    let norm = (0..2).map(|i| clipped[i].dot(&clipped[i]).expect("host")).sum::<f64>().sqrt();
    for clip_norm in [None, Some(0.5)] {
        let factor = clip_norm.map_or(1.0, |limit: f64| (limit / (norm + 1e-6)).min(1.0));
        let mut config = config.pre_clip(PreClip::new(2.0 * c));
        config.clip_norm = clip_norm;
        let mut optimizer = optimizer(config);
        optimizer.set_pre_clip_factor(0.5).expect("valid");
        let mut x = weights();
        step(&mut optimizer, &mut x, &gradients(0)).expect("finite");
        for i in 0..2 {
            for ((new, old), g) in x[i].values().iter().zip(weights()[i].values()).zip(clipped[i].values()) {
                // Rounding of weights and gradients of size one.
                assert!((old - new - factor * g).abs() <= 8.0 * f64::EPSILON, "{new} {old} {g}");
            }
        }
    }
    assert!(Config::preset("sgd-m").expect("preset").pre_clip(PreClip::new(0.0)).validate::<f64>().is_err());
}
