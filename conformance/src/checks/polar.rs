//! The polar factor by matrix products, of [`spectra_core::linalg::Polar`], on the backend.

use spectra_core::backend::{Backend, Element};
use spectra_core::linalg::{GramForm, Normalization, Polar, Schedule, Steps};

use crate::HostMatrix;
use crate::distance::{relative_distance, relative_error, scalar_distance};
use crate::inputs::{Family, Input};
use crate::oracle::{
    MUON, NEWTON_SCHULZ, OddPolynomial, POLAR_EXPRESS, PolynomialIteration, Svd, dot, gram_bound,
};
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::tolerance;

fn apply<B: Backend>(subject: &Subject<B>, polar: &Polar, m: &HostMatrix) -> Result<HostMatrix, Failure> {
    let mut out = subject.unreadable(m.rows, m.cols)?;
    polar.apply(&subject.upload(m)?, &mut out, &mut subject.workspace())?;
    subject.download(&out)
}

/// The singular values of what a backend has computed, which must be finite.
pub(crate) fn spectrum(judge: &mut Judge, what: &str, computed: &HostMatrix) -> Result<Vec<f64>, Failure> {
    judge.require(computed.is_finite(), format_args!("{what} is finite"))?;
    Ok(Svd::of(computed)?.sigma)
}

/// Inputs on which a fixed number of steps is worth looking at: some values arrive, others do not.
fn inputs_of_every_kind<B: Backend>(subject: &Subject<B>) -> impl Iterator<Item = &'static Input> {
    subject.ordinary_inputs().filter(|input| {
        let kind = [Family::Spiked, Family::Flat, Family::Graded, Family::RankDeficient, Family::Zero];
        kind.contains(&input.family)
    })
}

/// The polar factor to rounding error, also of entries at the ends of the range.
///
/// Whatever the condition, its singular values do not exceed 1 and `<M, Q>` is the nuclear norm; where the smallest
/// singular value is well above rounding, Q is compared too.
///
/// Finds: a product from the wrong side, a Gram matrix of the long side, a normalisation that overflows or is forgotten.
pub fn polar_exact<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let precision = subject.precision();
    let polar = Polar::exact::<B::Element>();
    let extreme = subject.extreme_inputs()?;
    let ordinary = subject.ordinary_inputs().filter(|input| input.family != Family::Extreme);
    for input in ordinary.chain(extreme) {
        judge.on(input);
        let (m, svd) = (&input.matrix, input.svd()?);
        let what = format!("polar factor of {}", input.name);
        let q = apply(subject, &polar, m)?;
        if svd.sigma[0] == 0.0 {
            judge.require(q.max_abs() == 0.0, format_args!("{what} is zero"))?;
            continue;
        }
        let backward = tolerance::backward(precision, m.shape());
        let largest = spectrum(&mut judge, &what, &q)?[0];
        judge.compare(format_args!("{what}: spectral norm"), (largest - 1.0).max(0.0), backward)?;

        // On the matrix scaled to a norm of 1, so that nothing overflows.
        let norm = m.frobenius_norm();
        let nuclear = svd.sigma.iter().map(|sigma| sigma / norm).sum::<f64>();
        let inner = dot(m.data.iter().map(|entry| entry / norm).zip(q.data.iter().copied()));
        let error = scalar_distance(inner, nuclear, nuclear);
        judge.compare(
            format_args!("{what}: nuclear norm"),
            error,
            backward * (svd.sigma.len() as f64).sqrt(),
        )?;

        // Q of an input that differs by a backward error turns by that over the smallest singular value.
        let smallest = svd.sigma[svd.sigma.len() - 1];
        let tolerance = backward * norm / smallest;
        if tolerance < 1e-2 {
            let scale = (svd.sigma.len() as f64).sqrt();
            let error = relative_distance(&q, &svd.polar_factor(), scale);
            judge.compare(format_args!("{what}"), error, tolerance)?;
        }
    }
    judge.finish()
}

/// Holds `polar`, which divides by `divisor(norm, sigma)` first, against the recursion of its polynomials on the exact singular
/// values.
fn compare_steps<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    name: &str,
    polar: &Polar,
    divisor: impl Fn(f64, &[f64]) -> f64,
    polynomials: &[OddPolynomial],
) -> Result<(), Failure> {
    for input in inputs_of_every_kind(subject) {
        judge.on(input);
        let m = &input.matrix;
        let svd = input.svd()?;
        let divisor = divisor(m.frobenius_norm(), &svd.sigma);
        let start: Vec<f64> = svd.sigma.iter().map(|sigma| sigma / divisor.max(f64::MIN_POSITIVE)).collect();
        for gram in [GramForm::Never, GramForm::Always, GramForm::Auto] {
            let what = format!("{name} on {}, Gram form {gram:?}", input.name);
            let computed = apply(subject, &Polar { gram, ..*polar }, m)?;
            let run = PolynomialIteration::run(&start, polynomials, gram != GramForm::Never);
            let exact = svd.with_values(&run.values);
            let norm = exact.frobenius_norm();
            if norm == 0.0 {
                judge.require(computed.max_abs() == 0.0, format_args!("{what}: zero stays zero"))?;
                continue;
            }
            // One roundings' worth in the normalisation, then in each step.
            let rounding = tolerance::product(subject.precision(), m.rows.max(m.cols));
            let tolerance = rounding * (run.amplification + run.lipschitz) / norm;
            judge.compare(format_args!("{what}"), relative_error(&computed, &exact), tolerance)?;
        }
    }
    Ok(())
}

/// Muon's five quintic steps, which do not converge: each singular value must be where the scalar recursion puts it.
///
/// Finds: an iteration that converges, another number of steps, a coefficient off in the third digit, a normalisation by
/// another norm.
pub fn polar_muon<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    compare_steps(&mut judge, subject, "Muon", &Polar::MUON, |norm, _| norm + 1e-7, &[MUON; 5])?;
    compare_steps(
        &mut judge,
        subject,
        "torch's Muon",
        &Polar::MUON_TORCH,
        |norm, _| norm.max(1e-7),
        &[MUON; 5],
    )?;
    judge.finish()
}

/// Eight of Newton and Schulz's steps, with which small singular values do not arrive.
///
/// Finds: as [`polar_muon`], for steps without a fifth power.
pub fn polar_cubic<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let polar = Polar {
        schedule: Schedule::Cubic,
        steps: Steps::Fixed(8),
        lower: B::Element::EPSILON,
        normalization: Normalization::Frobenius,
        gram: GramForm::Never,
    };
    compare_steps(&mut judge, subject, "cubic", &polar, |norm, _| norm, &[NEWTON_SCHULZ; 8])?;
    judge.finish()
}

/// The five published steps of Polar Express.
///
/// Finds: steps in another order, a normalisation without its margin.
pub fn polar_express<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let divisor = |norm, _: &[f64]| 1.02 * norm + 1e-6;
    compare_steps(&mut judge, subject, "Polar Express", &Polar::POLAR_EXPRESS, divisor, &POLAR_EXPRESS)?;
    judge.finish()
}

/// The same polynomials after the Gram bound, on which both a single first step and the first of a pair is stretched.
///
/// Finds: a bound below the largest singular value, a power of it at the wrong coefficient, a bound that is counted twice.
pub fn polar_gram<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let divisor = |_, sigma: &[f64]| gram_bound(sigma);
    let polar = Polar { normalization: Normalization::Gram, ..Polar::POLAR_EXPRESS };
    compare_steps(&mut judge, subject, "Gram bound", &polar, divisor, &POLAR_EXPRESS)?;
    judge.finish()
}
