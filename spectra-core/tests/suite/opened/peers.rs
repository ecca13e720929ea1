//! The peers' parts in compositions: second moments of an image, inner products, spheres, cautious decay, and all of them clipped.

use super::{M, random};
use spectra_core::backend::{ErrorKind, Gradient, Matrix};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::directions::Momentum;
use spectra_core::linalg::{Polar, Workspace};
use spectra_core::maps::{Clip, Guard, Normalized, SecondMoment, Slices, SoftClip, TailShrink};
use spectra_core::optimizer::{Config, Method, Optimizer, ParameterState, Rates, Recipe, plan::Plan};
use spectra_core::rules::{Cautious, Clipped, Composed, Hyperball, UpdateRule};
use spectra_core::scales::StepScale;
use std::error::Error;

type TestResult = Result<(), Box<dyn Error>>;
type B = Dense<f64>;

/// The weights after each step on random gradients.
fn trajectory(
    rule: impl UpdateRule<B>,
    start: &M,
    rates: Rates,
    steps: u64,
) -> Result<Vec<M>, Box<dyn Error>> {
    let (mut state, mut workspace) = (ParameterState::<B, _>::new(rule)?, Workspace::new(Dense::new()));
    let (mut x, mut all) = (start.clone(), Vec::new());
    for t in 0..steps {
        state.step(&mut x, &Gradient::new(&random(50 + t, start.shape())), rates, &mut workspace)?;
        all.push(x.clone());
    }
    Ok(all)
}

/// What the rule subtracts at each step.
fn updates(
    rule: impl UpdateRule<B>,
    shape: (usize, usize),
    steps: u64,
) -> Result<Vec<Vec<f64>>, Box<dyn Error>> {
    let zero = DenseMatrix::from_fn(shape.0, shape.1, |_, _| 0.0);
    let rates = Rates { weight_decay: Some(0.0), ..Rates::new(1.0) };
    let mut before = zero.values().to_vec();
    let mut all = Vec::new();
    for x in trajectory(rule, &zero, rates, steps)? {
        all.push(before.iter().zip(x.values()).map(|(before, x)| before - x).collect());
        before = x.values().to_vec();
    }
    Ok(all)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// The slices of a matrix that share a second moment, as indices of entries.
fn slices((m, n): (usize, usize), slices: Slices) -> Vec<Vec<usize>> {
    let rows = || (0..m).map(|i| (0..n).map(|j| i * n + j).collect()).collect();
    match slices {
        Slices::Rows => rows(),
        Slices::Short if m >= n => rows(),
        Slices::Short => (0..n).map(|j| (0..m).map(|i| i * n + j).collect()).collect(),
        Slices::Entries => (0..m * n).map(|at| vec![at]).collect(),
    }
}

/// NorMuon's stage on any map, here tail shrink and the polar factor, against its formula; the norm stays that of the map, and at the
/// first step all slices are of one length.
#[test]
fn a_second_moment_is_a_stage_after_any_map() -> TestResult {
    // Single entries are small beside AdaMuon's eps.
    let guard = Guard::Added { eps: 1e-13 };
    let entries = SecondMoment { guard, norm: SecondMoment::NORMUON.norm, ..SecondMoment::ADAMUON };
    for shape in [(12, 7), (7, 12), (1, 6)] {
        for moment in
            [SecondMoment::NORMUON, SecondMoment::NORMUON_DION, SecondMoment::NORMUON_MODDED, entries]
        {
            let shrink = TailShrink { rank_ratio: 0.3, ..TailShrink::PAPER };
            let momentum = Momentum::polyak(0.9);
            let plain = updates(Composed::new(momentum, shrink, StepScale::One), shape, 3)?;
            let map = Normalized::new(shrink, moment);
            let with = updates(Composed::new(momentum, map, StepScale::One), shape, 3)?;
            let slices = slices(shape, moment.slices);
            let mut v = vec![0.0; slices.len()];
            for (step, (u, y)) in plain.iter().zip(&with).enumerate() {
                let mut expected = vec![0.0; u.len()];
                for (v, slice) in v.iter_mut().zip(&slices) {
                    let mean = slice.iter().map(|at| u[*at] * u[*at]).sum::<f64>() / slice.len() as f64;
                    *v = moment.beta2 * *v + (1.0 - moment.beta2) * mean;
                    slice.iter().for_each(|at| expected[*at] = u[*at] / v.sqrt());
                }
                let kept = (dot(u, u) / dot(&expected, &expected)).sqrt();
                expected.iter_mut().for_each(|x| *x *= kept);
                // The guards, at most 1e-8 of sizes from 0.01, cancel in the norm but for their differences.
                assert!(distance(y, &expected) < 1e-6, "{shape:?}, {moment:?}, step {step}");
                assert!((dot(y, y) / dot(u, u) - 1.0).abs() < 1e-7, "{shape:?}, {moment:?}, step {step}");
                let lengths = slices.iter().map(|slice| slice.iter().map(|at| y[*at] * y[*at]).sum::<f64>());
                let lengths: Vec<f64> = lengths.collect();
                let even = lengths.iter().all(|length| (length / lengths[0] - 1.0).abs() < 1e-5);
                assert!(step > 0 || even, "{shape:?}, {moment:?}: {lengths:?}");
            }
        }
    }
    Ok(())
}

/// `<D, O>` of a low-rank correction is that of the matrix it stands for.
#[test]
fn an_inner_product_is_of_the_whole_image() -> TestResult {
    let shape = (12, 7);
    let shrink = TailShrink { rank_ratio: 0.3, ..TailShrink::PAPER };
    let u = updates(Composed::new(Momentum::polyak(0.9), shrink, StepScale::One), shape, 1)?.remove(0);
    let scaled =
        updates(Composed::new(Momentum::polyak(0.9), shrink, StepScale::InnerProduct), shape, 1)?.remove(0);
    let inner = dot(random(50, shape).values(), &u);
    let expected: Vec<f64> = u.iter().map(|x| inner * x).collect();
    assert!(inner > 0.1 && distance(&scaled, &expected) < 1e-12 * inner, "{inner}");
    Ok(())
}

/// The nuclear norm of the step's own direction: PolarGrad moves twice as far on gradients twice as long, Muon does not.
#[test]
fn polargrad_is_equivariant_in_the_gradients_size() -> TestResult {
    let shape = (6, 9);
    let scaled = |rule: &Method, size: f64| -> Result<Vec<f64>, Box<dyn Error>> {
        let (mut state, mut workspace) = (ParameterState::<B, _>::new(*rule)?, Workspace::new(Dense::new()));
        let mut x = DenseMatrix::from_fn(6, 9, |_, _| 0.0);
        let g = DenseMatrix::from_fn(6, 9, |i, j| size * random(3, shape).values()[i * 9 + j]);
        state.step(&mut x, &Gradient::new(&g), Rates::new(0.1), &mut workspace)?;
        Ok(x.values().to_vec())
    };
    for (name, factor) in [("polargrad", 2.0), ("polargrad-first", 2.0), ("muon", 1.0)] {
        let rule = Method::preset(name)?;
        let (one, two) = (scaled(&rule, 1.0)?, scaled(&rule, 2.0)?);
        let expected: Vec<f64> = one.iter().map(|x| factor * x).collect();
        // Muon's 1e-7 beside a norm of 0.2 and the slope 485 of its steps.
        assert!(distance(&two, &expected) < 1e-5, "{name}");
    }
    Ok(())
}

/// Every preset but those that look at the weights, its update clipped: no singular value above c, so no norm above c sqrt(r).
#[test]
fn any_preset_can_be_clipped() -> TestResult {
    const C: f64 = 1e-3;
    for (name, method, _) in Method::presets().filter(|(name, ..)| !name.contains("hyperball")) {
        let rule = Clipped::new(method, Clip::new(SoftClip::AUTO, C)).scale(StepScale::One);
        for u in updates(rule, (6, 9), 3)? {
            let norm = dot(&u, &u).sqrt();
            assert!(norm <= C * 6.0_f64.sqrt() * (1.0 + 1e-9), "{name}: {norm}");
        }
    }
    Ok(())
}

/// Weights keep the norm with which they begin, whatever decay is asked for.
#[test]
fn weights_stay_on_their_sphere() -> TestResult {
    let start = random(1, (6, 9));
    let radius = dot(start.values(), start.values()).sqrt();
    for name in ["muon-hyperball", "adam-hyperball"] {
        let method = Method::preset(name)?;
        let free = trajectory(method, &start, Rates::new(0.1), 4)?;
        for x in &free {
            assert!((dot(x.values(), x.values()).sqrt() / radius - 1.0).abs() < 1e-14, "{name}");
        }
        assert!(distance(free[0].values(), start.values()) > 0.01, "{name}");
        let decayed = trajectory(method, &start, Rates { weight_decay: Some(0.5), ..Rates::new(0.1) }, 4)?;
        assert_eq!(free, decayed, "{name}");
    }
    Ok(())
}

#[test]
fn weights_that_are_on_no_sphere_are_refused_by_the_parameters_name() -> TestResult {
    let config = Config::preset("muon-hyperball")?;
    let plan = Plan::builder().build([("layers.0.up.weight", [6, 9])])?;
    let mut optimizer = Optimizer::new(Dense::<f64>::new(), config, plan.parameters())?;
    let mut zero = DenseMatrix::from_fn(6, 9, |_, _| 0.0);
    let error = optimizer.step(&mut [(&mut zero, &random(2, (6, 9)))]).unwrap_err();
    assert_eq!(error.parameter(), Some("layers.0.up.weight"));
    assert!(matches!(error.kind(), ErrorKind::Argument { .. }), "{error}");
    assert!(zero.values().iter().all(|x| *x == 0.0));

    let start = random(1, (6, 9));
    let radius = dot(start.values(), start.values()).sqrt();
    let muon = Recipe::preset("muon")?;
    let on = |radius| trajectory(Hyperball::new(muon).radius(radius), &start, Rates::new(0.1), 2);
    assert!(on(radius * 1.000_001).is_ok());
    assert!(on(radius * 1.001).is_err());
    // One that is given is no state.
    assert_eq!(UpdateRule::<B>::state_numbers(&Hyperball::new(muon), (6, 9)), 55);
    assert_eq!(UpdateRule::<B>::state_numbers(&Hyperball::new(muon).radius(1.0), (6, 9)), 54);
    Ok(())
}

/// Weights that the step pushes away from zero are not decayed at all, to the bit; without decay the rule is the one within.
#[test]
fn cautious_decay_spares_or_decays() -> TestResult {
    let start = random(1, (6, 9));
    let lion = Recipe::preset("lion")?;
    let plain = trajectory(lion, &start, Rates::new(0.01), 3)?;
    assert_eq!(trajectory(Cautious::new(lion), &start, Rates::new(0.01), 3)?, plain);
    let rates = Rates { weight_decay: Some(0.5), ..Rates::new(0.01) };
    let cautious = trajectory(Cautious::new(lion), &start, rates, 1)?;
    let decayed = trajectory(lion, &start, rates, 1)?;
    let (mut spared, mut all) = (0, 0);
    for (at, x) in start.values().iter().enumerate() {
        let u = (x - plain[0].values()[at]) / 0.01;
        let expected = if x * u >= 0.0 { decayed[0].values()[at] } else { plain[0].values()[at] };
        assert!((cautious[0].values()[at] - expected).abs() < 1e-15);
        spared += usize::from(x * u < 0.0);
        all += 1;
    }
    assert!(spared > all / 4 && spared < 3 * all / 4, "{spared} of {all}");
    Ok(())
}

/// A table that has ended goes on with its last polynomial; each leaves of an interval what its digits do.
#[test]
fn published_tables_end_with_their_last_polynomial() {
    use spectra_core::linalg::Published;
    let last = Published::PolarExpress.polynomial(7);
    assert_eq!((last.a, last.b, last.c), (1.875, -1.25, 0.375));
    assert_eq!(Published::PolarExpress.polynomial(20), last);
    // What its digits leave of [1e-3, 1], in exact arithmetic.
    let (steps, error) =
        Polar::POLAR_EXPRESS_PAPER.steps.count(Polar::POLAR_EXPRESS_PAPER.schedule, 1e-3).unwrap();
    assert!(steps == 8 && error < 1e-13, "{error:e}");
    for (polar, low, high) in [
        (Polar::POLAR_EXPRESS_SHORT, 0.141, 0.142),
        (Polar::POLAR_EXPRESS_NVIDIA, 0.0, 1e-13),
        (Polar::CANS, 0.119, 0.120),
        (Polar::YOU, 0.525, 0.526),
    ] {
        let (_, error) = polar.steps.count(polar.schedule, 1e-3).unwrap();
        assert!(error >= low && error <= high, "{polar:?}: {error:e}");
    }
}

/// Buffers are saved and restored in one order: that of the list, where zeros are made first.
#[test]
fn buffers_are_made_in_the_order_of_their_list() -> TestResult {
    let shrink = TailShrink { rank_ratio: 0.3, ..TailShrink::PAPER };
    let map = Normalized::new(shrink, SecondMoment::NORMUON);
    let rule = Hyperball::new(Composed::new(Momentum::polyak(0.9), map, StepScale::One));
    let listed: Vec<_> = UpdateRule::<B>::buffers(&rule, (12, 7)).iter().map(|spec| spec.name).collect();
    let (mut state, mut workspace) = (ParameterState::<B, _>::new(rule)?, Workspace::new(Dense::new()));
    let (mut x, g) = (random(1, (12, 7)), random(2, (12, 7)));
    state.step(&mut x, &Gradient::new(&g), Rates::new(0.1), &mut workspace)?;
    let made: Vec<_> = state.state().iter().map(|(name, _)| name).collect();
    assert_eq!(made, listed);
    assert_eq!(listed, ["momentum", "mapped_second_moment", "subspace", "radius"]);
    Ok(())
}
