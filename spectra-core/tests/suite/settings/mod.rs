//! Every setting has a domain: outside of it an optimizer is refused by the setting's name, inside of it steps on ordinary
//! gradients, zeros among them, leave finite weights and state.

mod domains;

use domains::{SETTINGS, reconciled};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngSeed, TestError, TestRunner};
use spectra_core::backend::{Element, Matrix, Result};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::frank_wolfe::{FrankWolfe, Regularizer};
use spectra_core::linalg::{InverseSqrt, Polar, PowerIteration, Schedule, Steps, Workspace};
use spectra_core::maps::{HardClip, SoftClip, Threshold};
use spectra_core::optimizer::plan::Rule;
use spectra_core::optimizer::{Config, Method, Optimizer, ParameterSpec};

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(2603),
        ..ProptestConfig::default()
    })
}

/// Tall, wide, a vector of each rule.
const PARAMETERS: [(&str, usize, usize, Rule); 4] = [
    ("tall", 6, 4, Rule::Spectral),
    ("wide", 3, 5, Rule::Spectral),
    ("row", 1, 5, Rule::Spectral),
    ("vector", 1, 7, Rule::Elementwise),
];

fn optimizer<E: Element>(config: Config) -> Result<Optimizer<Dense<E>>> {
    let specs = PARAMETERS.map(|(name, rows, cols, rule)| ParameterSpec::new(name, (rows, cols), rule));
    Optimizer::new(Dense::new(), config, specs)
}

/// Steps on zero gradients, on ordinary ones, and on zero ones again; what is left of weights and state must be finite.
fn train<E: Element>(config: Config) -> std::result::Result<(), TestCaseError> {
    let refused = |error: spectra_core::backend::Error| TestCaseError::fail(format!("{error}: {config:?}"));
    let mut optimizer = optimizer::<E>(config).map_err(refused)?;
    let mut weights: Vec<DenseMatrix<E>> =
        PARAMETERS.iter().map(|(_, m, n, _)| matrix(*m, *n, |i| (i % 5) as f64 / 4.0 - 0.5)).collect();
    for step in 0..4 {
        let scale = if step == 1 || step == 2 { 1.0 } else { 0.0 };
        let gradients: Vec<DenseMatrix<E>> = PARAMETERS
            .iter()
            .map(|(_, m, n, _)| matrix(*m, *n, |i| scale * (((7 * i + 3 * step) % 11) as f64 - 5.0)))
            .collect();
        let mut pairs: Vec<_> = weights.iter_mut().zip(&gradients).collect();
        optimizer.step(&mut pairs).map_err(refused)?;
        let state = optimizer.buffers();
        let all = PARAMETERS.iter().zip(&weights).map(|((name, ..), x)| (*name, "weights", x)).chain(state);
        for (name, what, matrix) in all {
            let largest = matrix.max_abs().map_err(refused)?;
            prop_assert!(largest.is_finite(), "step {step}, {name}, {what}: {largest}, {config:?}");
        }
    }
    Ok(())
}

fn matrix<E: Element>(rows: usize, cols: usize, entry: impl Fn(usize) -> f64) -> DenseMatrix<E> {
    DenseMatrix::from_fn(rows, cols, |i, j| E::narrow(entry(i * cols + j)))
}

fn check<T: std::fmt::Debug>(what: &str, outcome: std::result::Result<(), TestError<T>>) {
    if let Err(error) = outcome {
        panic!("{what}: {error}");
    }
}

fn refuses_outside<E: Element>() {
    for (name, preset, set, domain) in SETTINGS {
        let outcome = runner(64).run(&domain.outside(E::NAME == "f32"), |x| {
            let mut config = Config::preset(preset).expect("a preset");
            prop_assert!(set(&mut config, x));
            match optimizer::<E>(config) {
                Ok(_) => prop_assert!(false, "{x} was accepted"),
                Err(error) => prop_assert!(error.to_string().contains(name), "{error}"),
            }
            Ok(())
        });
        check(&format!("{name} of {preset} in {}", E::NAME), outcome);
    }
}

fn trains_inside<E: Element>() {
    let single = E::NAME == "f32";
    for (name, preset, set, domain) in SETTINGS {
        let outcome = runner(24).run(&domain.inside(single), |x| {
            let mut config = Config::preset(preset).expect("a preset").lr(0.5);
            prop_assert!(set(&mut config, x));
            train::<E>(reconciled(config))
        });
        check(&format!("{name} of {preset} in {}", E::NAME), outcome);
    }
    // All at once.
    let presets: Vec<&str> = Method::presets().map(|(name, ..)| name).collect();
    let draws: Vec<_> = SETTINGS.iter().map(|(.., domain)| (any::<bool>(), domain.inside(single))).collect();
    let outcome = runner(400).run(&(select(presets), any::<bool>(), draws), |(preset, all, draws)| {
        let mut config = Config::preset(preset).expect("a preset");
        if all {
            config = config.apply_to_all();
        }
        for ((_, _, set, _), (_, x)) in SETTINGS.iter().zip(draws).filter(|(_, (draw, _))| *draw) {
            // Where this preset has it.
            set(&mut config, x);
        }
        train::<E>(reconciled(config))
    });
    check("all settings at once", outcome);
}

#[test]
fn a_setting_outside_its_domain_is_refused_by_name_in_f32() {
    refuses_outside::<f32>();
}

#[test]
fn a_setting_outside_its_domain_is_refused_by_name_in_f64() {
    refuses_outside::<f64>();
}

#[test]
fn settings_inside_their_domains_train_in_f32() {
    trains_inside::<f32>();
}

#[test]
fn settings_inside_their_domains_train_in_f64() {
    trains_inside::<f64>();
}

/// Each was accepted, and then gave NaN weights or nonsense, or did not end.
#[test]
fn reported_settings_are_refused_by_name() {
    let config = |preset: &str| Config::preset(preset).expect("a preset");
    let set = |setting: usize, value: f64| {
        let (name, preset, set, _) = SETTINGS[setting];
        let mut config = config(preset);
        assert!(set(&mut config, value));
        (name, config)
    };
    let by_name = |name: &str, preset: &str| {
        SETTINGS.iter().position(|s| (s.0, s.1) == (name, preset)).expect("a setting of the table")
    };
    let cases = [
        (by_name("iterations", "spectra"), vec![1e7]),
        (by_name("steps", "muon"), vec![1e7]),
        (by_name("steps", "spectra-adamw"), vec![1e7]),
        (by_name("safety", "muon"), vec![0.0, 0.5, f64::NAN, -1.0]),
        (by_name("eps", "adamw"), vec![1e-50, f64::INFINITY]),
        (by_name("eps", "spectra"), vec![1e-50, f64::INFINITY]),
        (by_name("eps", "muon"), vec![f64::INFINITY]),
        (by_name("factor", "muon"), vec![f64::INFINITY]),
        (by_name("threshold", "spectra-adamw"), vec![1e-300]),
        (by_name("threshold", "frank-wolfe"), vec![1e-300]),
        (by_name("lr", "spectra"), vec![1e300]),
        (by_name("weight_decay", "spectra"), vec![1e300]),
        (by_name("slack", "frank-wolfe"), vec![f64::INFINITY]),
    ];
    for (setting, values) in cases {
        for value in values {
            let (name, config) = set(setting, value);
            let error = optimizer::<f32>(config).expect_err(name).to_string();
            assert!(error.contains(name) && !error.contains("no rule"), "{error}");
        }
    }
}

#[test]
fn a_setting_that_no_rule_has_is_refused_by_name() {
    let spectra = Config::preset("spectra").expect("a preset");
    assert!(optimizer::<f32>(spectra.rank_ratio(0.1).beta2(0.95)).is_ok(), "AdamW beside it has a beta2");
    let muon = Config::preset("muon").expect("a preset");
    for (config, name) in [
        (muon.rank_ratio(0.1), "rank_ratio"),
        (spectra.clip_threshold(1.0), "clip_threshold"),
        (spectra.scale_factor(0.2), "scale_factor"),
        // Not forgotten when one follows that exists.
        (spectra.gamma(0.1).rank_ratio(0.2), "gamma"),
        (muon.apply_to_all().beta2(0.9), "beta2"),
    ] {
        let error = optimizer::<f32>(config).expect_err(name).to_string();
        assert!(error.contains(name) && error.contains("no rule"), "{error}");
        #[cfg(feature = "serde")]
        assert!(serde_json::to_string(&config).expect_err(name).to_string().contains(name));
    }
}

/// What schedules set later is checked like what was configured, and a refusal changes nothing.
#[test]
fn rates_set_later_have_the_same_domains() {
    let config = Config::preset("spectra-adamw").expect("a preset").lr(0.1).elementwise_lr(1.0);
    let mut optimizer = optimizer::<f32>(config).expect("valid");
    for (lr, why) in
        [(1e300, "lr"), (f64::NAN, "lr"), (-1.0, "lr"), (20.0, "weight_decay"), (2.0, "weight_decay")]
    {
        let error = optimizer.set_learning_rate(lr).expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
        assert_eq!(optimizer.learning_rate(), 0.1);
    }
    // c = 10.
    for factor in [1e-30, 1e30, 0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(optimizer.set_clip_factor(factor).is_err(), "{factor}");
    }
    assert!(optimizer.set_clip_factor(1e7).is_ok() && optimizer.set_learning_rate(0.5).is_ok());
}

/// The public algorithms have the same domains as the recipes that use them.
#[test]
fn algorithms_refuse_what_is_outside_their_domains() {
    let x = matrix::<f32>(6, 4, |i| i as f64);
    let (mut m, mut out) = (x.clone(), x.clone());
    let workspace = &mut Workspace::new(Dense::<f32>::new());
    let refused = |outcome: Result<()>, name: &str| {
        let error = outcome.expect_err(name).to_string();
        assert!(error.contains(name), "{error}");
    };
    let steps = Steps::Fixed(10_000_000);
    refused(Polar { steps, ..Polar::MUON }.apply(&x, &mut out, workspace).map(drop), "steps");
    let (mut square, identity) =
        (matrix::<f32>(2, 2, |_| 0.0), matrix::<f32>(2, 2, |i| f64::from(i % 3 == 0)));
    let root = InverseSqrt { schedule: Schedule::Minimax, steps };
    refused(root.apply(&identity, 0.5, &mut square, None, workspace).map(drop), "steps");
    let schedule = Schedule::Guarded { safety: 0.5, cushion: 0.02 };
    let root = InverseSqrt { schedule, steps: Steps::Fixed(3) };
    refused(root.apply(&identity, 0.5, &mut square, None, workspace).map(drop), "safety");
    let mut v = matrix::<f32>(4, 2, |i| i as f64);
    for iterations in [0, 10_000_000] {
        let power = PowerIteration { iterations, ..PowerIteration::PAPER };
        refused(power.iterate(&mut m, None, &mut v, workspace).map(drop), "iterations");
    }
    for c in [1e-300, 1e300, 0.0, f64::NAN] {
        refused(SoftClip::AUTO.apply(&x, c, &mut out, workspace).map(drop), "c =");
        refused(SoftClip::AUTO.apply_vector(&x, c, &mut out, workspace).map(drop), "c =");
        refused(HardClip::AUTO.apply(&x, c, &mut out, workspace).map(drop), "c =");
        refused(Threshold::Soft { t: c }.apply(&x, &mut out, workspace).map(drop), "t =");
        let ball = FrankWolfe::new(c, Regularizer::None);
        refused(ball.validate::<f32>(), "radius");
    }
    let product = Threshold::Elastic { t: 1.0, b: 1e30, radius: 1e30 };
    refused(product.apply(&x, &mut out, workspace).map(drop), "b * radius");
    let endless = FrankWolfe { tolerance: f64::INFINITY, ..FrankWolfe::new(1.0, Regularizer::None) };
    refused(endless.validate::<f32>(), "tolerance");
    assert_eq!((m.values(), out.values()), (x.values(), x.values()), "nothing has changed");
}
