//! The composite Frank-Wolfe solver of [`spectra_core::frank_wolfe`] on the backend.

use spectra_core::backend::{Backend, Coefficient, Matrix, Result as BackendResult, Scalar};
use spectra_core::frank_wolfe::{FrankWolfe, Objective, Regularizer, StepRule};
use spectra_core::maps::HardClip;

use super::polar::spectrum;
use crate::HostMatrix;
use crate::inputs::Family;
use crate::oracle::{Svd, dot, linear_minimum, projection_minimum, regularizer_value};
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::tolerance;

const REGULARIZERS: [Regularizer; 5] = [
    Regularizer::None,
    Regularizer::Frobenius { b: 0.5 },
    Regularizer::Nuclear { t: 0.7 },
    Regularizer::Elastic { t: 0.7, b: 0.5 },
    Regularizer::SchattenP { p: 2.0, b: 0.3 },
];

/// These go through the whole singular value decomposition on the backend.
const FRACTIONAL_POWERS: [Regularizer; 2] =
    [Regularizer::SchattenP { p: 1.5, b: 0.3 }, Regularizer::SchattenP { p: 3.0, b: 0.3 }];

/// `<A, B>`
fn inner(a: &HostMatrix, b: &HostMatrix) -> f64 {
    dot(a.data.iter().copied().zip(b.data.iter().copied()))
}

/// How far a value `<G, V> + psi(V)` may be from the minimum, relative to `D ||G||_*`: by the accuracy of V, and because
/// singular values up to the certificate's slack above a threshold count as below it.
fn relative_tolerance<B: Backend>(subject: &Subject<B>, shape: (usize, usize)) -> f64 {
    let precision = subject.precision();
    tolerance::clip(precision, shape)
        + tolerance::backward(precision, shape) * (shape.0.min(shape.1) as f64).sqrt()
}

/// The part of `D ||G||_*` that the slack may shift: singular values next to a threshold only.
fn slack(psi: &Regularizer, sigma: &[f64], d: f64) -> f64 {
    let thresholds = match *psi {
        Regularizer::Frobenius { b } => vec![b * d],
        Regularizer::Nuclear { t } => vec![t],
        Regularizer::Elastic { t, b } => vec![t, t + b * d],
        Regularizer::SchattenP { p: 2.0, b } => vec![2.0 * b * d],
        Regularizer::None | Regularizer::SchattenP { .. } => Vec::new(),
    };
    let slack = HardClip::AUTO.slack;
    let near = |sigma: f64| thresholds.iter().any(|t| sigma > *t && sigma <= t * (1.0 + slack));
    sigma.iter().filter(|sigma| near(**sigma)).map(|sigma| slack * d * sigma).sum()
}

/// Each V reaches the exact minimum of `<G, V> + psi(V)` and lies in the ball.
///
/// Finds: a sign, a radius before the division, a strength in the wrong power.
pub fn frank_wolfe_minimizers<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    minimizers(&mut judge, subject, &REGULARIZERS)?;
    judge.finish()
}

fn minimizers<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    regularizers: &[Regularizer],
) -> Result<(), Failure> {
    let (d, workspace) = (1.5, &mut subject.workspace());
    let families = [Family::Spiked, Family::Flat, Family::Repeated, Family::RankDeficient];
    let inputs = subject.ordinary_inputs().filter(|input| families.contains(&input.family));
    for input in inputs.filter(|input| input.matrix.data.len() <= 2048) {
        judge.on(input);
        let (g, svd) = (&input.matrix, input.svd()?);
        let scale = d * svd.sigma.iter().sum::<f64>();
        for &psi in regularizers {
            let what = format!("{psi:?} with the gradient {}", input.name);
            let mut v = subject.unreadable(g.rows, g.cols)?;
            psi.minimizer(&subject.upload(g)?, d, &mut v, workspace)?;
            let v = subject.download(&v)?;
            let sigma = spectrum(judge, &what, &v)?;
            let relative = relative_tolerance(subject, g.shape());
            let radius = d * (1.0 + HardClip::AUTO.slack) + relative * d;
            judge.require(sigma[0] <= radius, format_args!("{what}: ||V|| = {} > {d}", sigma[0]))?;
            let reached = inner(g, &v) + regularizer_value(&psi, &sigma);
            let error = (reached - linear_minimum(&psi, &svd.sigma, d)).abs() / scale;
            judge.compare(format_args!("{what}"), error, relative + slack(&psi, &svd.sigma, d) / scale)?;
            let value = psi.value(&subject.upload(&v)?, workspace)?;
            let exact = regularizer_value(&psi, &sigma);
            let error = (value - exact).abs() / regularizer_value(&psi, &vec![d; sigma.len()]).max(1.0);
            judge.compare(format_args!("{what}: psi(V)"), error, relative)?;
        }
    }
    Ok(())
}

/// `f(X) = ||X - T||_F^2 / 2`
struct Distance<M>(M);

impl<B: Backend> Objective<B> for Distance<B::Matrix> {
    fn gradient(&mut self, x: &B::Matrix, gradient: &mut B::Matrix) -> BackendResult<()> {
        gradient.copy_from(x)?;
        gradient.scale_add(Coefficient::ONE, (-1.0).into(), &self.0)
    }
    fn value(&mut self, x: &B::Matrix) -> BackendResult<Option<f64>> {
        let (own, mixed, target) = (x.dot(x)?.read()?, x.dot(&self.0)?.read()?, self.0.dot(&self.0)?.read()?);
        Ok(Some(own / 2.0 - mixed + target / 2.0))
    }
}

/// Where a run of so many steps ends.
struct End {
    outcome: spectra_core::frank_wolfe::Outcome,
    x: HostMatrix,
}

fn run<B: Backend>(
    subject: &Subject<B>,
    target: &HostMatrix,
    solver: &FrankWolfe,
    mut report: impl FnMut(&spectra_core::frank_wolfe::Iteration),
) -> Result<End, Failure> {
    let mut objective = Distance(subject.upload(target)?);
    let mut x = subject.upload(&HostMatrix::zeros(target.rows, target.cols))?;
    let outcome =
        solver.minimize_with::<B>(&mut objective, &mut x, &mut subject.workspace(), |iteration| {
            report(iteration)
        })?;
    Ok(End { outcome, x: subject.download(&x)? })
}

/// After any number of steps the reported gap is `<G, X> + psi(X) - min_V (<G, V> + psi(V))`, recomputed from the exact
/// singular values.
///
/// Finds: a gap of the point before, a psi left out, a gap that is too small to be a proof.
pub fn frank_wolfe_gap<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    gaps(&mut judge, subject, &REGULARIZERS)?;
    judge.finish()
}

fn gaps<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    regularizers: &[Regularizer],
) -> Result<(), Failure> {
    let d = 1.0;
    for (rows, cols) in [(5, 7), (12, 9)] {
        judge.at(rows, cols);
        let target = subject.random("target", rows, cols);
        for &psi in regularizers {
            for steps in [0, 1, 4] {
                let solver = FrankWolfe { max_iterations: steps, tolerance: 0.0, ..FrankWolfe::new(d, psi) };
                let End { outcome, x } = run(subject, &target, &solver, |_| {})?;
                let what = format!("gap of {psi:?} on {rows} x {cols} after {steps} steps");
                let gradient = x.zip(&target, |x, t| x - t);
                let of_x = spectrum(judge, &what, &x)?;
                let sigma = Svd::of(&gradient)?.sigma;
                let psi_x = regularizer_value(&psi, &of_x);
                let exact = inner(&gradient, &x) + psi_x - linear_minimum(&psi, &sigma, d);
                let scale = d * sigma.iter().sum::<f64>() + psi_x;
                let error = (outcome.gap - exact).abs() / scale;
                // Two values of psi and two inner products, besides V's own error.
                let tolerance =
                    3.0 * relative_tolerance(subject, (rows, cols)) + slack(&psi, &sigma, d) / scale;
                judge.compare(format_args!("{what}"), error, tolerance)?;
            }
        }
    }
    Ok(())
}

/// A problem whose minimum is known: the distance to it never exceeds the gap, nor Frank and Wolfe's bound
/// `2 C / (k + 2)` with the squared diameter `C = 4 D^2 r` of the ball (Jaggi 2013), and the last point lies in the ball. By
/// line search the objective never rises.
///
/// Finds: a step in the wrong direction, a certificate that certifies nothing, a run that stops too early.
pub fn frank_wolfe_converges<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    convergence(&mut judge, subject, &REGULARIZERS)?;
    judge.finish()
}

fn convergence<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    regularizers: &[Regularizer],
) -> Result<(), Failure> {
    let (d, rows, cols) = (1.0, 5, 7);
    judge.at(rows, cols);
    let target = subject.random("target", rows, cols);
    let tau = Svd::of(&target)?.sigma;
    for &psi in regularizers {
        let minimum = projection_minimum(&psi, &tau, d);
        for step in [StepRule::Diminishing, StepRule::LineSearch] {
            let what = format!("{psi:?}, {step:?}");
            let solver = FrankWolfe { step, max_iterations: 100, tolerance: 0.1, ..FrankWolfe::new(d, psi) };
            let scale = inner(&target, &target) + regularizer_value(&psi, &vec![d; tau.len()]);
            let rounding = 4.0 * relative_tolerance(subject, (rows, cols)) * scale;
            let (mut last, mut steepest, mut below) = (f64::INFINITY, 0.0_f64, 0.0_f64);
            let End { outcome, x } = run(subject, &target, &solver, |iteration| {
                let value = iteration.objective.unwrap_or(f64::NAN);
                steepest = steepest.max(value - last);
                below = below.max(value - minimum - iteration.gap);
                last = value;
            })?;
            let x_sigma = spectrum(judge, &what, &x)?;
            let distance = inner(&x, &x) / 2.0 - inner(&x, &target) + inner(&target, &target) / 2.0;
            let excess = distance + regularizer_value(&psi, &x_sigma) - minimum;
            let open = rounding + slack(&psi, &tau, d);
            judge.compare(
                format_args!("{what}: the gap bounds the distance at every step"),
                below.max(0.0),
                open,
            )?;
            judge.compare(format_args!("{what}: and at the end"), (excess - outcome.gap).max(0.0), open)?;
            judge.compare(
                format_args!("{what}: nothing is better than the minimum"),
                (-excess).max(0.0),
                10.0 * open,
            )?;
            let rate = 8.0 * d * d * tau.len() as f64 / (outcome.iterations as f64 + 2.0);
            judge
                .require(excess <= rate + open, format_args!("{what}: {excess} exceeds the bound {rate}"))?;
            let radius = d * (1.0 + HardClip::AUTO.slack) + rounding;
            judge.require(x_sigma[0] <= radius, format_args!("{what}: ||X|| = {} > {d}", x_sigma[0]))?;
            let reported = outcome.objective.unwrap_or(f64::NAN);
            let error = (reported - (minimum + excess)).abs();
            judge.compare(format_args!("{what}: reported objective"), error, open)?;
            let consistent =
                outcome.converged == (outcome.gap <= 0.1) && (outcome.converged || outcome.iterations == 100);
            judge.require(
                consistent,
                format_args!("{what}: stops at the tolerance or after all steps: {outcome:?}"),
            )?;
            if step == StepRule::LineSearch {
                judge.compare(format_args!("{what}: the objective never rises"), steepest, open)?;
            }
        }
    }
    Ok(())
}

/// Minimizers, gaps and convergence for Schatten norms with a fractional power, which need every singular value.
///
/// Finds: small singular values lost in the decomposition, a power off by one.
pub fn frank_wolfe_schatten<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    minimizers(&mut judge, subject, &FRACTIONAL_POWERS)?;
    gaps(&mut judge, subject, &FRACTIONAL_POWERS)?;
    convergence(&mut judge, subject, &FRACTIONAL_POWERS)?;
    judge.finish()
}
