//! What a resumed run takes from the saved one, and what from its own settings.

use super::*;
use spectra_core::backend::Matrix;
use spectra_core::directions::{Direction, Momentum};
use spectra_core::maps::{SoftClip, SpectralMap};
use spectra_core::optimizer::{Recipe, Restored};

fn preset(name: &str) -> Config {
    Config::preset(name).expect("preset").lr(0.02).elementwise_lr(0.004).weight_decay(0.1).clip_norm(100.0)
}

/// The optimizer after three steps with gradients scaled by `factor`.
fn trained(config: Config) -> Optimizer<Dense<f64>> {
    let (mut optimizer, mut x) = (optimizer(config), weights());
    for t in 0..3 {
        step(&mut optimizer, &mut x, &gradients(t)).expect("finite");
    }
    optimizer
}

/// An optimizer with `config` and the state of `saved`.
fn resumed(config: Config, saved: &Optimizer<Dense<f64>>) -> (Optimizer<Dense<f64>>, Restored) {
    let mut optimizer = optimizer(config);
    let restored = optimizer.load_snapshot(&saved.snapshot().expect("snapshot")).expect("the same rules");
    (optimizer, restored)
}

/// The weights after one more step from `weights()`, whose gradients have norm 30.
fn one_more(optimizer: &mut Optimizer<Dense<f64>>) -> [M; 3] {
    let mut x = weights();
    let g = gradients(9).map(|g| {
        DenseMatrix::from_fn(g.shape().0, g.shape().1, |i, j| 3.0 * g.values()[i * g.shape().1 + j])
    });
    step(optimizer, &mut x, &g).expect("finite");
    x
}

/// Buffers hold no rate, no decay and no clip that did nothing: a run that had the new settings all along has the same.
#[test]
fn rates_decay_and_clip_are_the_new_settings_and_counts_and_buffers_the_saved_ones() {
    for name in ["muon", "spectra", "spectra-adamw", "adamw"] {
        let old = trained(preset(name));
        let mut config = preset(name).lr(0.01).weight_decay(0.3).clip_norm(2.0);
        if name == "spectra-adamw" {
            config = config.map(SpectralMap::SoftClip { clip: SoftClip::AUTO, threshold: 0.5 });
        }
        // The first three steps are not clipped in either run.
        let mut all_along = optimizer(config.clip_norm(100.0));
        let mut x = weights();
        for t in 0..3 {
            step(&mut all_along, &mut x, &gradients(t)).expect("finite");
        }
        let (mut all_along, _) = resumed(config, &all_along);
        let (mut now, _) = resumed(config, &old);
        assert_eq!((now.steps(), now.learning_rate()), (3, 0.01), "{name}");
        assert_eq!(one_more(&mut now), one_more(&mut all_along), "{name}");
        // And each of them matters.
        for other in
            [config.lr(0.02), config.elementwise_lr(0.008), config.weight_decay(0.1), config.clip_norm(100.0)]
        {
            assert_ne!(
                one_more(&mut resumed(other, &old).0),
                one_more(&mut resumed(config, &old).0),
                "{name}"
            );
        }
    }
}

/// The example: rates 0.02 and 0.004, resumed with 0.01 and 0.004, must not be 0.02 and 0.008.
#[test]
fn both_rates_are_those_of_the_new_run() {
    let old = trained(preset("adamw").weight_decay(0.0));
    let (mut now, _) = resumed(preset("adamw").weight_decay(0.0).lr(0.01), &old);
    let (mut twice, _) = resumed(preset("adamw").weight_decay(0.0).lr(0.02).elementwise_lr(0.008), &old);
    let moved = |optimizer: &mut Optimizer<Dense<f64>>| {
        let x = one_more(optimizer);
        [0, 1].map(|i| x[i].values()[0] - weights()[i].values()[0])
    };
    let ([matrix, vector], [matrix_twice, vector_twice]) = (moved(&mut now), moved(&mut twice));
    // Differences of numbers of size one.
    assert!((2.0 * matrix - matrix_twice).abs() <= 4.0 * f64::EPSILON, "{matrix} {matrix_twice}");
    assert!((2.0 * vector - vector_twice).abs() <= 4.0 * f64::EPSILON, "{vector} {vector_twice}");
}

#[test]
fn what_differs_is_told_by_name() {
    let mut old = trained(preset("muon"));
    let (_, same) = resumed(preset("muon"), &old);
    assert_eq!(same.differences, []);
    assert_eq!(same.to_string(), "restored at step 3");
    old.set_learning_rate(0.005).expect("valid");
    let mut config = preset("muon").lr(0.01).weight_decay(0.3).clip_norm(2.0);
    config = config.beta2(0.95);
    let (_, restored) = resumed(config, &old);
    let told: Vec<_> = restored.differences.iter().map(|d| (&*d.setting, &*d.saved, &*d.now)).collect();
    assert_eq!(
        told,
        [
            ("learning rate", "0.005", "0.01"),
            ("lr", "0.02", "0.01"),
            ("clip_norm", "Some(100.0)", "Some(2.0)"),
            ("spectral.weight_decay", "0.1", "0.3"),
            (
                "elementwise.direction",
                "Adam(Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8 })",
                "Adam(Adam { beta1: 0.9, beta2: 0.95, eps: 1e-8 })"
            ),
            ("elementwise.weight_decay", "0.1", "0.3"),
        ]
    );
    assert!(restored.to_string().contains("; clip_norm was Some(100.0) and is now Some(2.0)"), "{restored}");
}

#[test]
fn factors_of_thresholds_go_on_where_the_saved_run_was_unless_they_are_set() {
    let mut old = trained(preset("spectra-adamw"));
    old.set_clip_factor(0.25).expect("valid");
    old.set_pre_clip_factor(0.5).expect("valid");
    let (mut now, restored) = resumed(preset("spectra-adamw"), &old);
    assert_eq!((restored.clip_factor, restored.pre_clip_factor), (0.25, 0.5));
    assert_eq!(restored.differences, []);
    assert_eq!(one_more(&mut now), one_more(&mut old));

    let mut set = optimizer(preset("spectra-adamw"));
    set.set_clip_factor(1.0).expect("valid");
    let restored = set.load_snapshot(&old.snapshot().expect("snapshot")).expect("the same rules");
    assert_eq!((restored.clip_factor, restored.pre_clip_factor), (1.0, 0.5));
    assert_eq!(restored.differences[0].to_string(), "clip factor was 0.25 and is now 1.0");
}

/// What a schedule is asked for is the count of steps, and that goes on.
#[test]
fn schedules_go_on_at_the_saved_step() {
    use spectra_core::schedules::{ClipSchedule, FinalDecay, LearningRateSchedule, Span};
    let rate = LearningRateSchedule::wsd(8, FinalDecay::default()).expect("valid");
    let rate = rate.with_warmup(Span::Steps(2), 0.1).expect("valid");
    let threshold = ClipSchedule::new(rate).with_decay(FinalDecay::default()).expect("valid");
    let config = preset("spectra-adamw");
    let scheduled = |optimizer: &mut Optimizer<Dense<f64>>, x: &mut [M; 3]| {
        let t = optimizer.steps();
        optimizer.set_learning_rate(config.lr * rate.factor(t)).expect("valid");
        optimizer.set_clip_factor(threshold.factor(t)).expect("valid");
        step(optimizer, x, &gradients(t)).expect("finite");
    };
    let (mut whole, mut x) = (optimizer(config), weights());
    for _ in 0..4 {
        scheduled(&mut whole, &mut x);
    }
    let (mut now, _) = resumed(config, &whole);
    let mut y = x.clone();
    for _ in 4..8 {
        scheduled(&mut whole, &mut x);
        scheduled(&mut now, &mut y);
    }
    assert_eq!(x, y);
}

/// Settings may change; what the buffers hold may not.
#[test]
fn a_state_whose_buffers_mean_something_else_is_refused() {
    let momentum = |momentum| {
        Config::new(Recipe {
            direction: Direction::Momentum(momentum),
            ..Recipe::preset("muon").expect("preset")
        })
    };
    let load = |from: Config, to: Config| {
        optimizer(to).load_snapshot(&trained(from).snapshot().expect("snapshot")).map(|_| ())
    };
    let averaged = |mu, nesterov| momentum(Momentum { mu, nesterov, averaged: true });
    load(averaged(0.95, true), averaged(0.9, false)).expect("another mu, no look-ahead: the same buffer");
    for (from, to) in [
        (averaged(0.95, true), momentum(Momentum::polyak(0.95))),
        (momentum(Momentum::polyak(0.95)), averaged(0.95, true)),
        (preset("adamw"), preset("muon")),
        (preset("spectra"), preset("muon")),
    ] {
        let error = load(from, to).expect_err("another meaning");
        assert!(matches!(error.kind(), ErrorKind::State { .. }), "{error}");
        assert_eq!(error.parameter(), Some("mlp"), "{error}");
    }
}
