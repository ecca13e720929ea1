//! What a step would do, looked at without taking it.

use super::{M, random, run, step};
use spectra_core::backend::{ErrorKind, Gradient, Matrix};
use spectra_core::dense::Dense;
use spectra_core::directions::{Adam, Direction, Momentum};
use spectra_core::linalg::{SixteenBits, Workspace};
use spectra_core::maps::{Clip, SoftClip};
use spectra_core::optimizer::plan::Rule;
use spectra_core::optimizer::{BlockState, Config, Method, Observation, Optimizer, ParameterSpec, Rates};
use spectra_core::rules::{Clipped, Recipe, Weights};
use spectra_core::state::MASTER;

type TestResult = Result<(), Box<dyn std::error::Error>>;

const SHAPES: [(usize, usize); 2] = [(12, 20), (1, 20)];
const LR: f64 = 0.01;

fn specs() -> Vec<ParameterSpec> {
    vec![
        ParameterSpec::new("a", SHAPES[0], Rule::Spectral),
        ParameterSpec::new("b", SHAPES[1], Rule::Elementwise),
    ]
}

/// The gradients of step `t`, as [`step`] draws them.
fn gradients(t: u64) -> Vec<M> {
    SHAPES.iter().enumerate().map(|(i, shape)| random(1000 * t + 100 + i as u64, *shape)).collect()
}

/// Observations of all matrices at step `t`.
fn look(
    optimizer: &mut Optimizer<Dense<f64>>,
    weights: &[M],
    t: u64,
) -> spectra_core::backend::Result<Vec<Observation<M>>> {
    let gradients = gradients(t);
    let wanted: Vec<_> = weights.iter().enumerate().collect();
    optimizer.observe(gradients.iter().enumerate(), &wanted)
}

fn bits(matrix: &M) -> Vec<u64> {
    matrix.values().iter().map(|x| x.to_bits()).collect()
}

/// Names and bits of a matrix's buffers.
fn buffers(optimizer: &Optimizer<Dense<f64>>, index: usize) -> Vec<(&'static str, Vec<u64>)> {
    let state = optimizer.state(index).map(|block| &block.state);
    state.into_iter().flat_map(|state| state.iter()).map(|(name, x)| (name, bits(x))).collect()
}

fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().map(f64::abs).fold(0.0, f64::max)
}

#[test]
fn an_observed_run_has_the_bits_of_one_that_is_not() -> TestResult {
    for (name, method, _) in Method::presets() {
        let config = Config::new(method).lr(LR).clip_norm(1.0);
        let (mut seen, mut weights) = run(config, specs(), 0)?;
        let (mut alone, mut unseen) = run(config, specs(), 0)?;
        seen.keep_reports(true);
        alone.keep_reports(true);
        for t in 0..4 {
            let before = seen.report(0).is_some();
            look(&mut seen, &weights, t)?;
            assert_eq!(seen.report(0).is_some(), before, "{name}: the last step's report is kept");
            step(&mut seen, &mut weights, t..t + 1)?;
            step(&mut alone, &mut unseen, t..t + 1)?;
        }
        for index in [0, 1] {
            assert_eq!(bits(&weights[index]), bits(&unseen[index]), "{name}");
            assert_eq!(buffers(&seen, index), buffers(&alone, index), "{name}");
        }
    }
    Ok(())
}

#[test]
fn it_is_what_the_step_then_does() -> TestResult {
    for (name, method, _) in Method::presets() {
        let config = Config::new(method.with_weight_decay(0.0)).lr(LR).clip_norm(1.0);
        let (mut optimizer, mut weights) = run(config, specs(), 0)?;
        for t in 0..3 {
            let (observed, before) = (look(&mut optimizer, &weights, t)?, weights.clone());
            step(&mut optimizer, &mut weights, t..t + 1)?;
            for (index, seen) in observed.iter().enumerate() {
                assert_eq!(bits(&seen.weights), bits(&before[index]), "{name}");
                let after: Vec<_> = seen.state.iter().map(|(buffer, x)| (buffer, bits(x))).collect();
                assert_eq!(after, buffers(&optimizer, index), "{name}: the state after the step");
                let (x, y) = (before[index].values(), weights[index].values());
                let lr = seen.rates.lr;
                let update = seen.update.values();
                // X' has a rounding error of an ulp of X or of the update, as has their difference; the products that make the
                // update are sums of at most 20 terms, in proportion to lr.
                let size =
                    largest(x.iter().copied()).max(1.0) / lr + 20.0 * seen.update.dot(&seen.update)?.sqrt();
                let error = largest(x.iter().zip(y).zip(update).map(|((x, y), o)| (x - y) / lr - o));
                assert!(error <= 8.0 * f64::EPSILON * size, "{name}, step {t}: {error:e}");
            }
        }
    }
    Ok(())
}

/// An observation of the preset's third step, with the gradients of all three.
fn third(name: &str) -> Result<(Observation<M>, Vec<M>), Box<dyn std::error::Error>> {
    let (mut optimizer, weights) = run(Config::preset(name)?.lr(LR), specs(), 2)?;
    let mut observed = look(&mut optimizer, &weights, 2)?;
    Ok((observed.swap_remove(0), (0..3).map(|t| gradients(t).swap_remove(0)).collect()))
}

/// `sum_t c_t G_t`, entry by entry.
fn sum(gradients: &[M], weight: impl Fn(usize) -> f64, f: impl Fn(f64) -> f64) -> Vec<f64> {
    let terms = |i: usize| gradients.iter().enumerate().map(|(t, g)| weight(t) * f(g.values()[i])).sum();
    (0..gradients[0].values().len()).map(terms).collect()
}

/// Panics unless two lists are the same but for rounding errors of the handful of operations between them.
fn same(what: &str, a: &M, b: &[f64]) {
    let error = largest(a.values().iter().zip(b).map(|(a, b)| a - b));
    let size = largest(b.iter().copied());
    assert!(error <= 32.0 * f64::EPSILON * size, "{what}: {error:e} of {size}");
}

#[test]
fn momentum_moments_and_direction_are_those_of_the_formula() -> TestResult {
    // Polyak: M = G_2 + mu G_1 + mu^2 G_0, which is what the map gets.
    let (seen, g) = third("spectra")?;
    let Some(Direction::Momentum(Momentum { mu, .. })) =
        Method::preset("spectra")?.recipe().map(|r| r.direction)
    else {
        return Err("spectra has no momentum".into());
    };
    let m = sum(&g, |t| mu.powi(2 - t as i32), |g| g);
    same("momentum", seen.momentum().ok_or("none")?, &m);
    same("direction", seen.direction.as_ref().ok_or("none")?, &m);
    assert!(seen.second_moment().is_none());
    assert_eq!(bits(&seen.gradient), bits(&g[2]));

    // Muon: an average with a look-ahead.
    let (seen, g) = third("muon")?;
    let m = sum(&g, |t| (1.0 - 0.95) * 0.95f64.powi(2 - t as i32), |g| g);
    let d: Vec<f64> = m.iter().zip(g[2].values()).map(|(m, g)| (1.0 - 0.95) * g + 0.95 * m).collect();
    same("momentum", seen.momentum().ok_or("none")?, &m);
    same("direction", seen.direction.as_ref().ok_or("none")?, &d);

    // Adam, with and without a clip behind it.
    for name in ["adamw", "spectra-adamw"] {
        let Some(Direction::Adam(Adam { beta1, beta2, eps, .. })) =
            Method::preset(name)?.recipe().map(|r| r.direction)
        else {
            return Err("no Adam".into());
        };
        let (seen, g) = third(name)?;
        let m = sum(&g, |t| (1.0 - beta1) * beta1.powi(2 - t as i32), |g| g);
        let v = sum(&g, |t| (1.0 - beta2) * beta2.powi(2 - t as i32), |g| g * g);
        let d = m
            .iter()
            .zip(&v)
            .map(|(m, v)| (m / (1.0 - beta1.powi(3))) / ((v / (1.0 - beta2.powi(3))).sqrt() + eps));
        same("momentum", seen.momentum().ok_or("none")?, &m);
        same("second moment", seen.second_moment().ok_or("none")?, &v);
        same("direction", seen.direction.as_ref().ok_or("none")?, &d.collect::<Vec<_>>());
    }

    // No direction with a map: but moments and an update.
    for name in ["soap", "dion"] {
        let (seen, _) = third(name)?;
        assert!(seen.direction.is_none() && seen.momentum().is_some(), "{name}");
        assert_eq!(seen.second_moment().is_some(), name == "soap");
        assert!(seen.update.dot(&seen.update)? > 0.0, "{name}");
    }
    Ok(())
}

#[test]
fn the_gradient_is_clipped_as_the_step_would() -> TestResult {
    let (mut optimizer, weights) = run(Config::preset("spectra")?.lr(LR).clip_norm(1.0), specs(), 0)?;
    let observed = look(&mut optimizer, &weights, 0)?;
    let norm = |all: &mut dyn Iterator<Item = M>| {
        all.map(|x| x.values().iter().map(|x| x * x).sum::<f64>()).sum::<f64>().sqrt()
    };
    let (clipped, whole) =
        (norm(&mut observed.into_iter().map(|seen| seen.gradient)), norm(&mut gradients(0).into_iter()));
    // The factor of the norm clip; the sums are of 260 squares.
    let right = whole / (whole + 1e-6);
    assert!((clipped - right).abs() <= 300.0 * f64::EPSILON, "{clipped}, not {right}");
    Ok(())
}

#[test]
fn a_clipped_rule_maps_the_update_of_the_rule_within() -> TestResult {
    let (inner, rates) = (Recipe::preset("adamw")?, Rates::new(LR));
    let clipped = Clipped::new(inner, Clip::new(SoftClip::AUTO, 1.0));
    let (x, g) = (random(1, SHAPES[0]), random(2, SHAPES[0]));
    let (block, mut workspace) = (BlockState::<M>::default(), Workspace::new(Dense::new()));
    let within = block.observe(&inner, &x, &Gradient::new(&g), rates, &mut workspace)?;
    let around = block.observe(&clipped, &x, &Gradient::new(&g), rates, &mut workspace)?;
    assert_eq!(bits(&within.update), bits(around.direction.as_ref().ok_or("none")?));
    assert_ne!(bits(&within.update), bits(&around.update));
    Ok(())
}

#[test]
fn weights_are_the_master_and_rounding_is_no_part_of_the_update() -> TestResult {
    for kept in [Weights::Master, Weights::Stochastic { format: SixteenBits::Bf16, seed: 3 }] {
        let rounded = || specs().into_iter().map(|spec| ParameterSpec { weights: kept, ..spec }).collect();
        let config = Config::preset("adamw")?.lr(LR);
        let (mut optimizer, mut weights) = run(config, rounded(), 2)?;
        // Somebody else's change, which a master does not heed.
        weights[0].values_mut()[0] += 1.0;
        let observed = look(&mut optimizer, &weights, 2)?;
        let master = optimizer.state(0).and_then(|block| block.state.get(MASTER));
        assert_eq!(bits(&observed[0].weights), bits(master.unwrap_or(&weights[0])));
        assert!(observed[0].state.get(MASTER).is_none());
        let (mut plain, same) = run(config, specs(), 2)?;
        let unrounded = look(&mut plain, &same, 2)?;
        assert_eq!(bits(&observed[0].update), bits(&unrounded[0].update), "{kept:?}");
    }
    Ok(())
}

#[test]
fn at_a_learning_rate_of_zero_the_update_is_still_there_unless_the_rule_reads_the_weights() -> TestResult {
    for (name, zero) in [("spectra", false), ("dion", false), ("muon-hyperball", true)] {
        let (mut optimizer, weights) = run(Config::preset(name)?.lr(0.0), specs(), 0)?;
        let observed = look(&mut optimizer, &weights, 0)?;
        assert_eq!(largest(observed[0].update.values().iter().copied()) == 0.0, zero, "{name}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_observed_is_refused_by_its_name() -> TestResult {
    let mut specs = specs();
    specs.push(ParameterSpec::new("ice", (3, 4), Rule::Frozen));
    let (mut optimizer, mut weights) = run(Config::preset("spectra")?.lr(LR), specs, 1)?;
    let (before, g) = (buffers(&optimizer, 0), gradients(1));
    let ice = random(9, (3, 4));
    let given = || g.iter().enumerate();

    let frozen = optimizer.observe(given(), &[(2, &ice)]).err().ok_or("a frozen one")?;
    assert!(matches!(frozen.kind(), ErrorKind::Name { name, .. } if &**name == "ice"), "{frozen}");
    assert!(optimizer.observe(given(), &[(7, &ice)]).is_err(), "there is no such index");
    let missing =
        optimizer.observe(given().take(1), &[(1, &weights[1])]).err().ok_or("without a gradient")?;
    assert_eq!(missing.parameter(), Some("b"));
    assert!(matches!(missing.kind(), ErrorKind::MissingGradient { .. }), "{missing}");
    let other = optimizer.observe(given(), &[(0, &ice)]).err().ok_or("of another shape")?;
    assert_eq!(other.parameter(), Some("a"));
    let mut bad = g.clone();
    bad[1].values_mut()[3] = f64::NAN;
    let bad = optimizer.observe(bad.iter().enumerate(), &[(0, &weights[0])]).err().ok_or("a NaN")?;
    assert_eq!(bad.parameter(), Some("b"), "{bad}");

    assert_eq!(buffers(&optimizer, 0), before);
    let mut alone = run(Config::preset("spectra")?.lr(LR), self::specs(), 1)?;
    step(&mut alone.0, &mut alone.1, 1..2)?;
    weights.truncate(2);
    let mut pairs: Vec<_> = weights.iter_mut().zip(&g).collect();
    let mut ice = (random(9, (3, 4)), random(9, (3, 4)));
    pairs.push((&mut ice.0, &ice.1));
    optimizer.step(&mut pairs)?;
    assert_eq!(bits(&weights[0]), bits(&alone.1[0]));
    Ok(())
}
