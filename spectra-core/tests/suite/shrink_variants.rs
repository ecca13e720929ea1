//! Tail shrink with another tail, another rank at each step, and a second moment before it, against matrices of known singular vectors.

use spectra_core::backend::{Error, Gradient};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::directions::Momentum;
use spectra_core::linalg::{PowerIteration, SubspaceForm, Workspace, uniform};
use spectra_core::maps::{MapRule, Prenormalized, RankRamp, SecondMoment, Slices, TailShrink};
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec, ParameterState, plan::Rule};
use spectra_core::rules::{Composed, Rates, Recipe};
use spectra_core::scales::StepScale;

type B = Dense<f64>;
type TestResult = Result<(), Error>;

const ROWS: usize = 12;
const COLS: usize = 9;
/// Each half of the one before, so that every rank has a gap.
const SIGMA: [f64; COLS] = [256.0, 128.0, 64.0, 32.0, 16.0, 8.0, 4.0, 2.0, 1.0];
/// 60 iterations leave `(1 / 2)^120` of the error of the subspace. `||tail||^2` is a difference of squares: rounding errors of `||M||^2` are up to 2e4
/// times as large beside it, a few of 2e-16 make 1e-11. The 8 iterations of the first step, and what rests on them, leave 1e-5.
const CLOSE: f64 = 3e-11;

/// An orthogonal matrix: a Householder reflection.
fn reflection(n: usize, seed: u64) -> impl Fn(usize, usize) -> f64 {
    let v: Vec<f64> = (0..n).map(|i| uniform(seed, i, 0)).collect();
    let square: f64 = v.iter().map(|x| x * x).sum();
    move |i, j| f64::from(u8::from(i == j)) - 2.0 * v[i] * v[j] / square
}

/// `U diag(sigma) V^T` with the same U and V for all sigma.
fn with_values(sigma: &[f64]) -> DenseMatrix<f64> {
    let (u, v) = (reflection(ROWS, 3), reflection(COLS, 4));
    DenseMatrix::from_fn(ROWS, COLS, |i, j| {
        sigma.iter().enumerate().map(|(l, s)| u(i, l) * s * v(j, l)).sum()
    })
}

/// The singular values that tail shrink of rank k gives: exact.
fn shrunk(sigma: &[f64], k: usize, factor: f64) -> Vec<f64> {
    let square: f64 = sigma[k..].iter().map(|s| s * s).sum();
    let level = (square / (sigma.len() - k) as f64).sqrt();
    (0..sigma.len()).map(|i| if i < k { level } else { factor * sigma[i] }).collect()
}

/// The updates of steps of `map` alone with these gradients.
fn updates<M: MapRule<B>>(
    map: M,
    scale: StepScale,
    gradients: &[DenseMatrix<f64>],
) -> Result<Vec<Vec<f64>>, Error> {
    let rule = Composed::new(Momentum::polyak(0.0), map, scale);
    let (mut state, mut workspace) = (ParameterState::<B, _>::new(rule)?, Workspace::new(Dense::new()));
    let mut all = Vec::new();
    for g in gradients {
        let mut x = DenseMatrix::from_fn(ROWS, COLS, |_, _| 0.0);
        state.step(&mut x, &Gradient::new(g), Rates::new(1.0), &mut workspace)?;
        all.push(x.values().iter().map(|x| -x).collect());
    }
    Ok(all)
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// `||X - Y|| / ||Y||`
fn distance(x: &[f64], y: &[f64]) -> f64 {
    norm(&x.iter().zip(y).map(|(x, y)| x - y).collect::<Vec<_>>()) / norm(y)
}

fn shrink(rank: usize, iterations: usize, form: SubspaceForm) -> TailShrink {
    let power = PowerIteration { iterations, form, ..PowerIteration::PAPER };
    TailShrink { rank_ratio: rank as f64 / COLS as f64, power, ..TailShrink::PAPER }
}

#[test]
fn a_tail_has_its_factor() -> TestResult {
    let g: Vec<_> = (0..4).map(|_| with_values(&SIGMA)).collect();
    for (form, rests) in [(SubspaceForm::ColumnNorms, 1), (SubspaceForm::Exact, 1), (SubspaceForm::Exact, 2)]
    {
        for (k, tail) in [(1, 0.0), (2, 0.5), (3, 1.0), (4, 3.0), (5, 0.0)] {
            let map = TailShrink { tail, refresh_every: rests, ..shrink(k, 60, form) };
            let expected = with_values(&shrunk(&SIGMA, k, tail));
            for u in updates(map, StepScale::One, &g)?.iter().skip(rests as usize) {
                assert!(distance(u, expected.values()) < CLOSE, "{form:?} {rests} {k} {tail}");
            }
            // The norm that the scale is told, without forming O.
            for u in updates(map, StepScale::RMS, &g)? {
                let rms = norm(&u) / ((ROWS * COLS) as f64).sqrt();
                assert!((rms / 0.2 - 1.0).abs() < 1e-7, "{form:?} {k} {tail}: {rms}");
            }
            // <D, O> is the sum of the products of the singular values.
            let inner: f64 = SIGMA.iter().zip(shrunk(&SIGMA, k, tail)).map(|(a, b)| a * b).sum();
            let scaled: Vec<f64> = expected.values().iter().map(|x| inner * x).collect();
            for u in updates(map, StepScale::InnerProduct, &g)?.iter().skip(rests as usize) {
                assert!(distance(u, &scaled) < CLOSE, "{form:?} {k} {tail}");
            }
        }
    }
    Ok(())
}

/// The first directions of the spike at the scale of its others, those at the tail's.
#[test]
fn a_staircase_has_two_steps() -> TestResult {
    let g: Vec<_> = (0..4).map(|_| with_values(&SIGMA)).collect();
    for (form, rests) in [(SubspaceForm::ColumnNorms, 1), (SubspaceForm::Exact, 1), (SubspaceForm::Exact, 2)]
    {
        for (k, first, upper, tail) in
            [(4, 1, 0.25, 1.0), (5, 2, 0.4, 0.0), (4, 3, 0.99, 2.0), (1, 0, 0.9, 1.0)]
        {
            let map = TailShrink { tail, upper, refresh_every: rests, ..shrink(k, 60, form) };
            let mut sigma = shrunk(&SIGMA, k, tail);
            let square: f64 = SIGMA[first..k].iter().map(|s| s * s).sum();
            sigma[..first].fill((square / (k - first) as f64).sqrt());
            let expected = with_values(&sigma);
            for u in updates(map, StepScale::One, &g)?.iter().skip(rests as usize) {
                assert!(distance(u, expected.values()) < CLOSE, "{form:?} {rests} {k} {upper}");
            }
            for u in updates(map, StepScale::RMS, &g)? {
                let rms = norm(&u) / ((ROWS * COLS) as f64).sqrt();
                assert!((rms / 0.2 - 1.0).abs() < 1e-7, "{form:?} {k} {upper}: {rms}");
            }
        }
    }
    Ok(())
}

#[test]
fn without_a_tail_the_map_is_the_identity_whatever_its_factor() -> TestResult {
    let mut low = [0.0; COLS];
    low[..2].copy_from_slice(&[3.0, 1.0]);
    let g = [with_values(&low), with_values(&low)];
    for tail in [0.0, 1.0, 3.0] {
        for rank in [2, 4, COLS] {
            let map = TailShrink { tail, upper: 0.5, ..shrink(rank, 20, SubspaceForm::Exact) };
            for u in updates(map, StepScale::One, &g)? {
                assert!(distance(&u, g[0].values()) < CLOSE, "{tail} {rank}");
            }
        }
    }
    Ok(())
}

/// Without the tail all singular values of the exact form are equal, after one iteration as well: the polar factor of what was projected.
#[test]
fn a_dropped_tail_leaves_a_polar_factor() -> TestResult {
    let k = 4;
    let map = TailShrink { tail: 0.0, ..shrink(k, 1, SubspaceForm::Exact) };
    let random = |seed| DenseMatrix::from_fn(ROWS, COLS, |i, j| uniform(seed, i, j));
    for u in updates(map, StepScale::RMS, &[random(1), random(2), random(3)])? {
        // (O O^T)^2 = c O O^T with c = ||O||^2 / k for k equal values.
        let gram: Vec<f64> = (0..ROWS * ROWS)
            .map(|at| (0..COLS).map(|j| u[at / ROWS * COLS + j] * u[at % ROWS * COLS + j]).sum())
            .collect();
        let square: Vec<f64> = (0..ROWS * ROWS)
            .map(|at| (0..ROWS).map(|l| gram[at / ROWS * ROWS + l] * gram[l * ROWS + at % ROWS]).sum())
            .collect();
        let scaled: Vec<f64> = gram.iter().map(|x| x * norm(&u).powi(2) / k as f64).collect();
        assert!(distance(&square, &scaled) < CLOSE);
    }
    Ok(())
}

#[test]
fn a_ramp_has_its_rank_at_each_step() -> TestResult {
    let g: Vec<_> = (0..9).map(|_| with_values(&SIGMA)).collect();
    for (from, to, ranks) in [(6, 2, [6, 6, 6, 5, 4, 3, 2, 2, 2]), (2, 9, [2, 2, 2, 4, 6, 7, 9, 9, 9])] {
        for rests in [1, 4] {
            let ramp = RankRamp { to: to as f64 / COLS as f64, begin: 2, end: 6, levels: 4 };
            let map = TailShrink {
                ramp: Some(ramp),
                refresh_every: rests,
                ..shrink(from, 60, SubspaceForm::ColumnNorms)
            };
            let found: Vec<_> = (0..9).map(|step| map.rank_at(ROWS, COLS, step)).collect();
            assert_eq!(found, ranks);
            for (u, k) in updates(map, StepScale::One, &g)?.iter().zip(ranks).skip(rests as usize) {
                let expected = if k == COLS { SIGMA.to_vec() } else { shrunk(&SIGMA, k, 1.0) };
                assert!(distance(u, with_values(&expected).values()) < CLOSE, "{from} {to} {rests}: {k}");
            }
        }
    }
    Ok(())
}

fn ramped(from: f64, to: f64) -> Result<Optimizer<B>, Error> {
    let ramp = RankRamp { to, begin: 1, end: 7, levels: 3 };
    let map = TailShrink { rank_ratio: from, ramp: Some(ramp), ..TailShrink::PAPER };
    let mut recipe = Recipe::preset("spectra")?;
    recipe.map.tail_shrink_mut().into_iter().for_each(|shrink| *shrink = map);
    Optimizer::new(Dense::new(), Config::new(recipe), [ParameterSpec::new("w", (ROWS, COLS), Rule::Spectral)])
}

/// Saved in the middle of a ramp, up or down, a run goes on as if it had not been.
#[test]
fn a_ramp_is_resumed_in_its_middle() -> TestResult {
    for (from, to) in [(0.8, 0.2), (0.2, 0.8), (0.5, 1.0)] {
        let random = |seed| DenseMatrix::from_fn(ROWS, COLS, |i, j| uniform(seed, i, j));
        let (mut whole, mut x) = (ramped(from, to)?, random(1));
        for step in 0..5 {
            whole.step(&mut [(&mut x, &random(2 + step))])?;
        }
        let (mut resumed, mut y) = (ramped(from, to)?, x.clone());
        resumed.load_snapshot(&whole.snapshot()?)?;
        for step in 5..10 {
            whole.step(&mut [(&mut x, &random(2 + step))])?;
            resumed.step(&mut [(&mut y, &random(2 + step))])?;
        }
        assert_eq!(x.values(), y.values(), "{from} {to}");
    }
    Ok(())
}

/// Rows (or entries) of one size, then the map: what the map makes of such gradients.
#[test]
fn a_second_moment_before_the_map_is_one_of_the_gradient() -> TestResult {
    let map = shrink(3, 2, SubspaceForm::ColumnNorms);
    let gradients: Vec<_> =
        (0..4).map(|t| DenseMatrix::from_fn(ROWS, COLS, |i, j| uniform(9 + t, i, j))).collect();
    for slices in [Slices::Rows, Slices::Entries] {
        let moment = SecondMoment { slices, ..SecondMoment::NORMUON };
        let width = if slices == Slices::Rows { COLS } else { 1 };
        let mut v = vec![0.0; ROWS * COLS / width];
        let mut divided = Vec::new();
        for g in &gradients {
            let mut values = g.values().to_vec();
            for (v, slice) in v.iter_mut().zip(values.chunks_mut(width)) {
                let mean = slice.iter().map(|x| x * x).sum::<f64>() / width as f64;
                *v = moment.beta2 * *v + (1.0 - moment.beta2) * mean;
                slice.iter_mut().for_each(|x| *x /= v.sqrt() + 1e-10);
            }
            let kept = norm(g.values()) / (norm(&values) + 1e-10);
            divided.push(DenseMatrix::from_fn(ROWS, COLS, |i, j| kept * values[i * COLS + j]));
        }
        let expected = updates(map, StepScale::One, &divided)?;
        let found = updates(Prenormalized::new(map, moment), StepScale::One, &gradients)?;
        for (found, expected) in found.iter().zip(&expected) {
            // Rounding errors of the gradient move the subspace by themselves over its gap, here above 1e-2.
            assert!(distance(found, expected) < 1e-11, "{slices:?}: {}", distance(found, expected));
        }
    }
    Ok(())
}

#[test]
fn settings_out_of_their_domain_are_refused_by_name() {
    let ramp = RankRamp { to: 0.1, begin: 1, end: 7, levels: 3 };
    let with = |ramp| TailShrink { ramp: Some(ramp), ..TailShrink::PAPER };
    assert!(with(ramp).validate().is_ok());
    for (map, name) in [
        (TailShrink { tail: -1.0, ..TailShrink::PAPER }, "tail"),
        (TailShrink { tail: f64::NAN, ..TailShrink::PAPER }, "tail"),
        (TailShrink { tail: 1e4, ..TailShrink::PAPER }, "tail"),
        (TailShrink { upper: 1.0, ..TailShrink::PAPER }, "upper"),
        (with(RankRamp { to: 0.0, ..ramp }), "ramp.to"),
        (with(RankRamp { to: 1.5, ..ramp }), "ramp.to"),
        (with(RankRamp { end: 1, ..ramp }), "ramp.end"),
        (with(RankRamp { levels: 0, ..ramp }), "ramp.levels"),
    ] {
        let error = map.validate().unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}
