//! A variable handed to a public algorithm as its output is what the algorithm writes, and stays the caller's: its handle
//! is not exchanged for one of the workspace, and no later call writes into it.

use super::{TestResult, backends, numbers};
use crate::common::{host, random};
use candle_core::{Tensor, Var};
use spectra_candle::{CandleBackend, CandleMatrix, Method};
use spectra_core::backend::{Gradient, Matrix, Result as CoreResult};
use spectra_core::directions::{DirectionRule, Target};
use spectra_core::frank_wolfe::{FrankWolfe, Objective, Regularizer, StepRule};
use spectra_core::linalg::{
    GramForm, InverseSqrt, Normalization, Polar, PowerIteration, Schedule, Steps, SubspaceForm, Workspace,
    orthonormalize,
};
use spectra_core::maps::{
    HardClip, HardClipMethod, SoftClip, SpectralMap, TailShrink, Threshold, tail_shrink,
};
use spectra_core::maps::{MapRule, Moment};
use spectra_core::optimizer::{ParameterState, Rates};
use spectra_core::state::State;

type M = CandleMatrix<f32>;
type W = Workspace<CandleBackend<f32>>;

const SHAPES: [(usize, usize); 3] = [(9, 20), (20, 9), (12, 12)];

/// A variable with these values, and its matrix.
fn variable(backend: &CandleBackend<f32>, values: &Tensor) -> Result<(Var, M), Box<dyn std::error::Error>> {
    let var = Var::from_tensor(values)?;
    let shape = values.dims2()?;
    let matrix = backend.variable(&var, shape)?;
    Ok((var, matrix))
}

/// Takes everything out of the pool and overwrites it, as later calls do.
fn spoil_pool(workspace: &mut W, like: &M) -> CoreResult<()> {
    let (m, n) = like.shape();
    let mut taken = Vec::new();
    for rows in 1..=m.max(n) {
        for cols in [1, 2, 3, 4, m, n] {
            for _ in 0..12 {
                taken.push(workspace.take(rows, cols)?);
            }
        }
    }
    for matrix in &mut taken {
        let (rows, cols) = matrix.shape();
        matrix.write(&vec![-77.0; rows * cols])?;
    }
    Ok(())
}

/// Runs an algorithm on a variable that starts with `start`.
fn check(
    backend: &CandleBackend<f32>,
    what: &str,
    start: &Tensor,
    run: impl Fn(&mut M, &mut W) -> CoreResult<()>,
) -> TestResult {
    let (var, mut out) = variable(backend, start)?;
    let workspace = &mut Workspace::new(backend.clone());
    // Twice: the first call fills the pool.
    for _ in 0..2 {
        run(&mut out, workspace)?;
        let written: Vec<f32> = host(&out)?.into_iter().map(|x| x as f32).collect();
        assert_eq!(numbers(&var)?, written, "{what} exchanged the caller's handle");
        spoil_pool(workspace, &out)?;
        assert_eq!(numbers(&var)?, written, "{what} left the caller's handle in the pool");
    }
    Ok(())
}

/// [`check`] on every shape, with an input X: the singular values of `size X` lie around `size`.
fn check_map(what: &str, size: f64, run: impl Fn(&M, &mut M, &mut W) -> CoreResult<()> + Copy) -> TestResult {
    for backend in backends() {
        for (m, n) in SHAPES {
            let x = (random(3, &[m, n])? * size)?;
            let x = backend.matrix(&x, (m, n))?;
            let start = random(4, &[m, n])?;
            check(&backend, &format!("{what}, {m} x {n}, size {size:e}"), &start, |out, w| run(&x, out, w))?;
        }
    }
    Ok(())
}

#[test]
fn orthonormalized_columns() -> TestResult {
    for backend in backends() {
        let random = random(1, &[20, 3])?;
        let ones = random.ones_like()?;
        let nearly_parallel = ((&random * 0.05)? + &ones)?;
        for (what, start) in [
            ("well-conditioned columns", random.clone()),
            ("nearly parallel columns", nearly_parallel),
            ("equal columns", ones),
        ] {
            check(&backend, what, &start, |p, w| orthonormalize(p, w).map(drop))?;
        }
    }
    Ok(())
}

#[test]
fn polar_factor() -> TestResult {
    for steps in 0..=5 {
        for gram in [GramForm::Never, GramForm::Always] {
            let polar = Polar { steps: Steps::Fixed(steps), gram, ..Polar::MUON };
            // The smallest is normalised in two passes.
            for size in [1.0, 1e-36] {
                check_map(&format!("{steps} steps, {gram:?}"), size, move |x, out, w| {
                    polar.apply(x, out, w).map(drop)
                })?;
            }
        }
    }
    let clamped = Polar { normalization: Normalization::Clamped { eps: 1e-7 }, ..Polar::exact::<f32>() };
    check_map("to rounding", 1.0, move |x, out, w| clamped.apply(x, out, w).map(drop))
}

#[test]
fn soft_clip() -> TestResult {
    // From nothing to clip over the coupled, the deflated and the stacked form to a scaled input.
    for (size, c) in [(1.0, 1e9), (1.0, 1.0), (1.0, 1e-2), (1.0, 1e-6), (1e30, 1e29), (1e-30, 1e-30)] {
        check_map(&format!("soft clip at {c:e}"), size, move |x, out, w| {
            SoftClip::AUTO.apply(x, c, out, w).map(drop)
        })?;
        check_map(&format!("the authors' soft clip at {c:e}"), size, move |x, out, w| {
            SoftClip::OFFICIAL.apply(x, c, out, w).map(drop)
        })?;
    }
    check_map("soft clip of a vector", 1.0, |x, out, w| SoftClip::AUTO.apply_vector(x, 0.5, out, w).map(drop))
}

#[test]
fn hard_clip() -> TestResult {
    // Nothing above, a few above, all above, and a scaled input.
    for (size, c) in [(1.0, 1e9), (1.0, 3.0), (1.0, 1e-2), (1e30, 3e30)] {
        for method in [HardClipMethod::Auto, HardClipMethod::Polar] {
            let clip = HardClip { method, ..HardClip::AUTO };
            check_map(&format!("hard clip at {c:e}, {method:?}"), size, move |x, out, w| {
                clip.apply(x, c, out, w).map(drop)
            })?;
        }
    }
    Ok(())
}

#[test]
fn thresholds() -> TestResult {
    for t in [1e9, 3.0, 0.5] {
        for threshold in [
            Threshold::Soft { t },
            Threshold::Elastic { t, b: 0.5, radius: 1.0 },
            Threshold::BangBang { t, radius: 1.0 },
            Threshold::SchattenP { p: 2.0, b: 0.5, radius: t },
            Threshold::SchattenP { p: 3.0, b: 0.5, radius: t },
        ] {
            check_map(&format!("{threshold:?}"), 1.0, move |x, out, w| threshold.apply(x, out, w).map(drop))?;
        }
    }
    Ok(())
}

#[test]
fn inverse_square_root() -> TestResult {
    for backend in backends() {
        let matrix = (Tensor::eye(6, candle_core::DType::F32, &candle_core::Device::Cpu)? * 0.25)?;
        let a = backend.matrix(&matrix, (6, 6))?;
        for steps in 1..=3 {
            let options = InverseSqrt { schedule: Schedule::Minimax, steps: Steps::Fixed(steps) };
            check(&backend, "the inverse root", &matrix, |out, w| {
                let mut root = w.take(6, 6)?;
                options.apply(&a, 0.2, out, Some(&mut root), w).map(drop)
            })?;
            check(&backend, "the root", &matrix, |out, w| {
                let mut inverse = w.take(6, 6)?;
                options.apply(&a, 0.2, &mut inverse, Some(out), w).map(drop)
            })?;
        }
    }
    Ok(())
}

#[test]
fn power_iteration_and_tail_shrink() -> TestResult {
    for backend in backends() {
        for (m, n) in SHAPES {
            let gradient = backend.matrix(&random(5, &[m, n])?, (m, n))?;
            for form in [SubspaceForm::ColumnNorms, SubspaceForm::Exact] {
                let power = PowerIteration { form, iterations: 2, ..PowerIteration::PAPER };
                check(&backend, "the matrix of an iteration", &random(6, &[m, n])?, |x, w| {
                    let (_, subspace) = power.bootstrap(x, Some((0.5, &Gradient::new(&gradient))), 3, w)?;
                    subspace.release(w);
                    Ok(())
                })?;
                let x = random(6, &[m, n])?;
                check(&backend, "V", &random(7, &[n, 3])?, |v, w| {
                    let mut x = backend.matrix(&x, (m, n))?;
                    power.iterate(&mut x, None, v, w)?.release(w);
                    Ok(())
                })?;
                let options = TailShrink { rank_ratio: 0.3, power, refresh_every: 2, ..TailShrink::PAPER };
                check(&backend, "the matrix of a tail shrink", &random(6, &[m, n])?, |x, w| {
                    let mut cache = None;
                    for step in 0..3 {
                        let update = Some((0.9, &Gradient::new(&gradient)));
                        tail_shrink(&options, x, update, &mut cache, step, w)?.release(w);
                    }
                    Ok(())
                })?;
            }
        }
    }
    Ok(())
}

/// `f(X) = ||X - A||^2 / 2`, whose gradient is handed out in a variable.
struct Distance<'a> {
    backend: &'a CandleBackend<f32>,
    target: M,
    gradient: &'a Var,
}

impl Objective<CandleBackend<f32>> for Distance<'_> {
    fn gradient(&mut self, x: &M, out: &mut M) -> CoreResult<()> {
        // A handle of the objective's own in the place of the solver's.
        *out = self.backend.variable(self.gradient, x.shape())?;
        out.copy_from(x)?;
        out.scale_add(1.0.into(), (-1.0).into(), &self.target)
    }
}

#[test]
fn frank_wolfe() -> TestResult {
    let regularizers = [
        Regularizer::None,
        Regularizer::Frobenius { b: 0.5 },
        Regularizer::Nuclear { t: 0.5 },
        Regularizer::Elastic { t: 0.5, b: 0.5 },
        Regularizer::SchattenP { p: 3.0, b: 0.5 },
    ];
    for regularizer in regularizers {
        check_map(&format!("{regularizer:?}"), 1.0, move |x, out, w| regularizer.minimizer(x, 1.0, out, w))?;
        for backend in backends() {
            let (m, n) = SHAPES[0];
            let (handed_out, target) = (Var::from_tensor(&random(1, &[m, n])?)?, random(2, &[m, n])?);
            let solver = FrankWolfe {
                max_iterations: 3,
                step: StepRule::Constant(0.5),
                ..FrankWolfe::new(1.0, regularizer)
            };
            let start = random(8, &[m, n])?.zeros_like()?;
            check(&backend, "the point", &start, |x, w| {
                let target = backend.matrix(&target, (m, n))?;
                let objective = &mut Distance { backend: &backend, target, gradient: &handed_out };
                solver.minimize(objective, x, w)?;
                let before = numbers(&handed_out);
                spoil_pool(w, x)?;
                assert_eq!(
                    before.ok(),
                    numbers(&handed_out).ok(),
                    "the objective's own handle is in the pool"
                );
                Ok(())
            })?;
        }
    }
    Ok(())
}

#[test]
fn maps_directions_and_steps() -> TestResult {
    for (name, method, _) in Method::presets() {
        for backend in backends() {
            for (m, n) in SHAPES {
                let gradient = backend.matrix(&random(5, &[m, n])?, (m, n))?;
                let start = random(6, &[m, n])?;
                check(&backend, &format!("the weights of {name}"), &start, |weights, w| {
                    let mut state = ParameterState::new(method)?;
                    let rates = Rates::new(0.1);
                    (0..3)
                        .try_for_each(|_| state.step(weights, &Gradient::new(&gradient), rates, w).map(drop))
                })?;
                let Some(recipe) = method.recipe() else { continue };
                check(&backend, &format!("the direction of {name}"), &start, |out, w| {
                    let (mut state, target) = (State::default(), Target { out, beta: 0.5, alpha: 1.0 });
                    recipe.direction.advance(&mut state, &Gradient::new(&gradient), 1, target, w)
                })?;
                let (map, moment): (SpectralMap, _) = (recipe.map, Moment { clip_factor: 1.0, step: 0 });
                check(
                    &backend,
                    &format!("the direction under the map of {name}"),
                    &start,
                    |direction, w| map.apply(direction, None, &mut State::default(), &moment, w).map(drop),
                )?;
            }
        }
    }
    Ok(())
}
