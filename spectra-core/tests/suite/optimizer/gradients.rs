//! Gradients that are missing or not finite, and models without parameters.

use super::*;
use spectra_core::rules::Weights;
use spectra_core::state::MASTER;

#[test]
fn a_model_without_a_parameter_to_train_is_refused() {
    let config = Config::preset("spectra").expect("preset");
    let frozen = [spec("rope", 4, 4, Rule::Frozen)];
    for specs in [Vec::new(), frozen.to_vec()] {
        let error = Optimizer::new(Dense::<f64>::new(), config, specs).expect_err("nothing to train");
        assert!(error.to_string().contains("parameters = "), "{error}");
    }
}

#[test]
fn a_step_without_any_gradient_is_refused_and_not_counted() {
    let mut optimizer = optimizer(Config::preset("spectra").expect("preset"));
    let rope = random(1003, 4, 4);
    let none: [(usize, &M); 0] = [];
    // A frozen parameter's gradient is none.
    for given in [&none[..], &[(2, &rope)]] {
        let error = optimizer.prepare(given.iter().copied()).map(|_| ()).expect_err("no gradient");
        assert!(matches!(error.kind(), ErrorKind::MissingGradient { .. }), "{error}");
        assert_eq!(error.parameter(), None, "{error}");
    }
    assert_eq!(optimizer.steps(), 0);
}

#[test]
fn a_single_missing_gradient_is_an_error_where_all_are_required() {
    let g = gradients(0);
    for (index, name) in [(0, "mlp"), (1, "norm"), (2, "rope")] {
        let config = Config::preset("spectra").expect("preset");
        let present = || g.iter().enumerate().filter(move |(i, _)| *i != index);
        optimizer(config).prepare(present()).expect("one may be missing");
        let strict = optimizer(config.require_gradients(true)).prepare(present()).map(|_| ());
        if name == "rope" {
            strict.expect("a frozen parameter needs none");
            continue;
        }
        let error = strict.expect_err("required");
        assert!(matches!(error.kind(), ErrorKind::MissingGradient { .. }), "{error}");
        assert_eq!(error.parameter(), Some(name), "{error}");
    }
}

/// Without the check the step is what was asked for: NaN where the gradient has led, everything else moved, and counted.
#[test]
fn without_the_check_a_nan_is_stepped_and_counted_and_not_saved() {
    for (name, ..) in spectra_core::optimizer::Method::presets() {
        for (bad, index) in [(f64::NAN, 0), (f64::INFINITY, 0), (f64::NAN, 1), (f64::NEG_INFINITY, 1)] {
            let config = Config::preset(name).expect("preset").check_finite(false).apply_to_all();
            let (mut disturbed, mut undisturbed) = (optimizer(config), optimizer(config));
            let (mut x, mut y) = (weights(), weights());
            step(&mut disturbed, &mut x, &gradients(0)).expect("finite");
            step(&mut undisturbed, &mut y, &gradients(0)).expect("finite");
            let mut g = gradients(1);
            g[index].values_mut()[7] = bad;
            step(&mut disturbed, &mut x, &g).unwrap_or_else(|error| panic!("{name}, {bad}: {error}"));
            step(&mut undisturbed, &mut y, &gradients(1)).expect("finite");
            assert_eq!(disturbed.steps(), 2, "{name}");
            assert_eq!(x[1 - index], y[1 - index], "{name}, {bad}: another parameter moves as ever");
            // The sign of an infinity is one.
            let signs = ["signum", "lion", "adamuon"].iter().any(|sign| name.contains(sign));
            let finite = signs && !bad.is_nan();
            assert_eq!(x[index].values().iter().all(|x| x.is_finite()), finite, "{name}, {bad} in {index}");

            // Such a state is refused when it is saved, by name, not when it is too late.
            let error = disturbed.snapshot().expect_err("a state that cannot be restored");
            assert_eq!(error.parameter(), Some(["mlp", "norm"][index]), "{name}, {bad}: {error}");
            step(&mut disturbed, &mut x, &gradients(2)).expect("the next step");
            assert_eq!(disturbed.steps(), 3, "{name}");
        }
    }
}

/// Else the next step would bring the old weights back.
#[test]
fn without_the_check_a_nan_reaches_the_master_and_the_weights() {
    for (name, recipe, _) in spectra_core::optimizer::Method::presets() {
        let config = Config::new(recipe).check_finite(false);
        let spec = ParameterSpec { weights: Weights::Master, ..spec("mlp", 12, 20, Rule::Spectral) };
        let mut optimizer = Optimizer::new(Dense::<f64>::new(), config, [spec]).expect("valid");
        let mut x = random(1, 12, 20);
        for (at, bad) in [None, Some(f64::NAN), None].into_iter().enumerate() {
            let mut g = random(10 + at as u64, 12, 20);
            if let Some(bad) = bad {
                g.values_mut()[7] = bad;
            }
            optimizer.step(&mut [(&mut x, &g)]).expect("nobody asked");
        }
        let master = optimizer.state(0).and_then(|block| block.state.get(MASTER)).expect("kept");
        assert!(x.values()[7].is_nan() && master.values()[7].is_nan(), "{name}");
        let nan = |matrix: &M| matrix.values().iter().map(|x| x.is_nan()).collect::<Vec<_>>();
        assert_eq!(nan(&x), nan(master), "{name}");
        assert_eq!(optimizer.steps(), 3, "{name}");
    }
}
