//! Frank-Wolfe on mini-batches with averaged gradients (the paper's Figure F.4), and how fast both forms converge.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use spectra_core::backend::{Backend, Matrix, Result};
use spectra_core::faer::Faer;
use spectra_core::frank_wolfe::{Averaging, FrankWolfe, Objective, Regularizer, StepRule};
use spectra_core::linalg::Workspace;
use spectra_examples::pictures::Panel;

use super::problem::{Logistic, M, SHAPE};

/// The optimum of small b is next to the sphere.
const RADIUS: f64 = 1.0;
const STRENGTHS: [f64; 3] = [0.0, 1e-3, 1e-2];
const BATCHES: [usize; 3] = [1, 16, 64];
/// How far the gap has to fall by theory, log against log: like 1 / k with whole gradients, like k^(-1/3) with averaged ones, both with
/// some room.
const WHOLE_SLOPE: f64 = -0.9;
const STOCHASTIC_SLOPE: f64 = -0.28;

/// The whole problem, seen through batches. Its values, of the whole, are offered where they are drawn.
struct Batches<'a> {
    whole: &'a mut Logistic,
    size: usize,
    rng: StdRng,
    drawn: &'a [usize],
    step: usize,
}

impl Objective<Faer<f64>> for Batches<'_> {
    fn gradient(&mut self, x: &M, gradient: &mut M) -> Result<()> {
        let count = self.whole.len();
        let samples: Vec<_> = (0..self.size).map(|_| self.rng.random_range(0..count)).collect();
        self.whole.sampled_gradient(x, &samples, gradient)
    }

    fn value(&mut self, x: &M) -> Result<Option<f64>> {
        let step = self.step;
        self.step += 1;
        self.drawn.contains(&step).then(|| self.whole.loss(x)).transpose()
    }
}

/// The text of the tables and of the verdicts, and a panel for each strength: the objective above its minimum.
pub(crate) fn study(steps: usize, seeds: u64) -> Result<(String, Vec<Panel>)> {
    let (mut train, mut test) = Logistic::train_and_test(1)?;
    let mut workspace = Workspace::new(Faer::new());
    let drawn = spaced(steps);
    let mut text = format!(
        "Stochastic Frank-Wolfe, D = {RADIUS}, {steps} steps, mean of {seeds} seeds: rho = 4 / (k + 8)^(2/3), gamma = 2 / (k + 8); whole: gamma = 2 / (k + 2)\n{:>7} {:>6} {:>12} {:>7} {:>10} {:>10}\n",
        "b", "batch", "above min", "slope", "test loss", "||X||_F"
    );
    let (mut panels, mut verdicts) = (Vec::new(), String::new());
    let mut by_batch = [const { Vec::new() }; 3];
    for b in STRENGTHS {
        let regularizer = if b == 0.0 { Regularizer::None } else { Regularizer::Frobenius { b } };
        let solver =
            FrankWolfe { max_iterations: steps, tolerance: 0.0, ..FrankWolfe::new(RADIUS, regularizer) };
        let (minimum, uncertain) = minimum(&solver, &mut train, &mut workspace)?;
        let mut curves = Vec::new();

        let (mut x, mut history) = (Faer::new().zeros(SHAPE.0, SHAPE.1, None)?, Vec::new());
        let outcome = solver.minimize_with(&mut train, &mut x, &mut workspace, |iteration| {
            history.extend(iteration.objective);
        })?;
        history.extend(outcome.objective);
        let whole: Vec<_> = drawn.iter().filter_map(|k| Some((*k, history.get(*k)? - minimum))).collect();
        text += &row(b, "whole", &whole, test.loss(&x)?, x.dot(&x)?.sqrt());
        verdict(&mut verdicts, &format!("b = {b}, whole: slope"), slope(&whole), WHOLE_SLOPE);
        curves.push(("whole".into(), points(&whole)));

        let mut last = f64::INFINITY;
        for (batch, of_batch) in BATCHES.into_iter().zip(&mut by_batch) {
            let stochastic =
                FrankWolfe { step: StepRule::Stochastic, averaging: Averaging::Diminishing, ..solver };
            let mut mean: Vec<_> = drawn.iter().map(|k| (*k, 0.0)).collect();
            let (mut loss, mut norm) = (0.0, 0.0);
            let share = 1.0 / seeds as f64;
            for seed in 0..seeds {
                let rng = StdRng::seed_from_u64(seed);
                let mut batches = Batches { whole: &mut train, size: batch, rng, drawn: &drawn, step: 0 };
                let (mut x, mut values) = (Faer::new().zeros(SHAPE.0, SHAPE.1, None)?, Vec::new());
                let outcome =
                    stochastic.minimize_with(&mut batches, &mut x, &mut workspace, |iteration| {
                        values.extend(iteration.objective);
                    })?;
                values.extend(outcome.objective);
                mean.iter_mut().zip(&values).for_each(|((_, gap), value)| *gap += share * (value - minimum));
                loss += share * test.loss(&x)?;
                norm += share * x.dot(&x)?.sqrt();
            }
            text += &row(b, &batch.to_string(), &mean, loss, norm);
            let name = format!("b = {b}, batch {batch}");
            verdict(&mut verdicts, &format!("{name}: slope"), slope(&mean), STOCHASTIC_SLOPE);
            let gap = mean.last().map_or(f64::NAN, |(_, gap)| *gap);
            if last.is_finite() {
                verdict(
                    &mut verdicts,
                    &format!("{name}: gap over that of the smaller batch"),
                    gap / last,
                    1.0,
                );
            }
            last = gap;
            of_batch.push((loss, norm));
            curves.push((format!("batch {batch}"), points(&mean)));
        }
        text += &format!("{b:>7} the minimum is known to {uncertain:.1e}\n");
        panels.push(Panel {
            title: format!("b = {b}"),
            across: "log10 of the iteration",
            up: "above the minimum",
            logarithmic: true,
            curves,
        });
    }
    for (batch, rows) in BATCHES.iter().zip(&by_batch) {
        for pair in rows.windows(2) {
            let name = format!("batch {batch}: ||X||_F over that of the smaller b");
            verdict(&mut verdicts, &name, pair[1].1 / pair[0].1, 1.0);
        }
        let best = rows[1..].iter().map(|row| row.0).fold(f64::INFINITY, f64::min);
        verdict(
            &mut verdicts,
            &format!("batch {batch}: best test loss over that of b = 0"),
            best / rows[0].0,
            1.0,
        );
    }
    Ok((text + "\n" + &verdicts, panels))
}

/// About evenly spaced on a logarithmic axis, from 1 to the last.
fn spaced(steps: usize) -> Vec<usize> {
    let mut all: Vec<_> =
        (0..=60).map(|i| (steps as f64).powf(f64::from(i) / 60.0).round() as usize).collect();
    all.dedup();
    all
}

/// The least `f + psi` found by four times as many steps with a line search, and how far below it the minimum may be.
fn minimum(
    solver: &FrankWolfe,
    train: &mut Logistic,
    workspace: &mut Workspace<Faer<f64>>,
) -> Result<(f64, f64)> {
    let step = StepRule::LineSearch;
    let longer = FrankWolfe { step, max_iterations: 4 * solver.max_iterations, tolerance: 1e-9, ..*solver };
    let mut x = Faer::new().zeros(SHAPE.0, SHAPE.1, None)?;
    let (mut least, mut bound) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut see = |value: Option<f64>, gap: f64| {
        let value = value.unwrap_or(f64::NAN);
        (least, bound) = (least.min(value), bound.max(value - gap));
    };
    let outcome = longer.minimize_with(train, &mut x, workspace, |it| see(it.objective, it.gap))?;
    see(outcome.objective, outcome.gap);
    Ok((bound, least - bound))
}

/// Of log gap in log k by least squares, over the last two thirds of the logarithmic axis.
fn slope(curve: &[(usize, f64)]) -> f64 {
    let late = curve[curve.len() / 3..].iter().filter(|(_, gap)| *gap > 0.0);
    let logs: Vec<_> = late.map(|(k, gap)| ((*k as f64).ln(), gap.ln())).collect();
    let count = logs.len() as f64;
    let (x, y) =
        (logs.iter().map(|p| p.0).sum::<f64>() / count, logs.iter().map(|p| p.1).sum::<f64>() / count);
    logs.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>()
        / logs.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}

fn points(curve: &[(usize, f64)]) -> Vec<(f64, f64)> {
    curve.iter().map(|(k, gap)| ((*k as f64).log10(), *gap)).collect()
}

fn row(b: f64, batch: &str, curve: &[(usize, f64)], loss: f64, norm: f64) -> String {
    let gap = curve.last().map_or(f64::NAN, |(_, gap)| *gap);
    format!("{b:>7} {batch:>6} {gap:>12.3e} {:>7.2} {loss:>10.4} {norm:>10.4}\n", slope(curve))
}

/// Passes where the measured number is at most the criterion.
fn verdict(text: &mut String, claim: &str, measured: f64, at_most: f64) {
    let word = if measured <= at_most { "shown" } else { "refuted here" };
    *text += &format!("{claim:<55} {measured:>8.3}  at most {at_most:>5}: {word}\n");
}
