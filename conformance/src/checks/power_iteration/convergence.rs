//! How the subspace approaches the exact one.

use spectra_core::backend::Backend;
use spectra_core::linalg::{PowerIteration, SubspaceForm, uniform};

use super::support::{Iterated, start};
use crate::HostMatrix;
use crate::inputs::{Family, with_spectrum};
use crate::oracle::{Svd, power_iteration, product, product_nt, product_tn};
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::tolerance;

const SHAPES: [(usize, usize); 4] = [(24, 40), (41, 23), (64, 65), (129, 33)];

/// `||sin Theta||_F` between the spans of two orthonormal bases with as many columns.
fn sine(u: &HostMatrix, exact: &HostMatrix) -> f64 {
    outside(u, exact).frobenius_norm()
}

/// The part of u outside the span of `exact`.
fn outside(u: &HostMatrix, exact: &HostMatrix) -> HostMatrix {
    u.zip(&product(exact, &product_tn(exact, u)), |entry, inside| entry - inside)
}

/// `||tan Theta||_F`, from the sines of all angles.
fn tangent(u: &HostMatrix, exact: &HostMatrix) -> Result<f64, Failure> {
    let sines = Svd::of(&outside(u, exact))?.sigma;
    let tangents: Vec<f64> = sines.iter().map(|sine| sine / (1.0 - sine * sine).max(0.0).sqrt()).collect();
    Ok(HostMatrix::column(&tangents).frobenius_norm())
}

/// Every iteration brings the subspace nearer by `(sigma_{k+1} / sigma_k)^2`, no slower than the theory says and no
/// faster than the exact iteration from the same start.
///
/// Finds: an iteration with `M V` or `M^T U` alone, V taken from the wrong side, a V that is not handed on.
pub fn power_iteration_convergence<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let k = 3;
    for shape in SHAPES {
        judge.at(shape.0, shape.1);
        let sigma = |index: usize| [1.0, 0.9, 0.8].get(index).copied().unwrap_or(0.4);
        let input = with_spectrum("ratio 1/2", Family::Spiked, shape, sigma).rounded(subject.precision());
        let svd = input.svd()?;
        let exact = svd.u.first_columns(k);
        let ratio = svd.sigma[k] / svd.sigma[k - 1];
        // sigma_1 / sigma_k bounds the condition of M V once V is near; the gap turns its error into an angle.
        let condition = svd.sigma[0] / (svd.sigma[k - 1] - svd.sigma[k]);
        let rounding = tolerance::subspace_angle(subject.precision(), shape, k, 4.0 * condition);
        for form in [SubspaceForm::ColumnNorms, SubspaceForm::Exact] {
            let mut v = start(subject, &input.matrix, k);
            let mut reference = v.clone();
            let mut limit = f64::INFINITY;
            for iteration in 1..=8 {
                let what = format!("iteration {iteration} on {}, {form:?}", input.name);
                let iterated = Iterated::run(subject, &input.matrix, &v, 1, form)?;
                let host = power_iteration(&input.matrix, &reference, 1)?;
                let (angle, expected) = (sine(&iterated.u, &exact), sine(&host.u, &exact));
                judge.compare(
                    format_args!("{what}: angle of the exact iteration"),
                    (angle - expected).abs(),
                    rounding,
                )?;
                let reached = tangent(&iterated.u, &exact)?;
                judge.compare(
                    format_args!("{what}: theoretical rate"),
                    (reached - limit).max(0.0),
                    rounding,
                )?;
                limit = reached * ratio * ratio;
                (v, reference) = (iterated.v, host.v);
            }
        }
    }
    judge.finish()
}

/// The bootstrap finds the exact dominant subspace and singular values where there is a gap, always from the same start.
///
/// Finds: too few iterations, another generator or seed, columns normalised before they are orthogonal, the left
/// subspace returned for the right one.
pub fn power_iteration_bootstrap<B: Backend>(subject: &Subject<B>) -> Outcome {
    /// What [`PowerIteration::bootstrap`] documents: the error after it is the start's times the ratio to the 16th.
    const POWERS: i32 = 16;
    let mut judge = Judge::new();
    for input in subject.ordinary_inputs() {
        judge.on(input);
        let k = match input.family {
            Family::Spiked => 2,
            Family::Repeated => 4,
            Family::RankDeficient => 5,
            _ => continue,
        };
        let m = &input.matrix;
        let svd = input.svd()?;
        if k >= svd.sigma.len() {
            continue;
        }
        let power = PowerIteration::default();
        let workspace = &mut subject.workspace();
        let mut device_m = subject.upload(m)?;
        let (v, subspace) = power.bootstrap(&mut device_m, None, k, workspace)?;
        let iterated = Iterated::download(subject, subspace, &v, workspace)?;
        let what = format!("bootstrap on {}, k = {k}", input.name);

        let start = HostMatrix::from_fn(m.cols, k, |row, col| uniform(power.seed, row, col));
        let start = crate::oracle::orthonormal_basis(&start)?;
        let ratio = svd.sigma[k] / svd.sigma[k - 1];
        let left = tangent(&start, &svd.v.first_columns(k))? * ratio.powi(POWERS - 1);
        let condition = svd.sigma[0] / (svd.sigma[k - 1] - svd.sigma[k]);
        let angle = left + tolerance::subspace_angle(subject.precision(), m.shape(), k, 4.0 * condition);
        judge.compare(format_args!("{what}: U"), sine(&iterated.u, &svd.u.first_columns(k)), angle)?;
        judge.compare(format_args!("{what}: V"), sine(&iterated.v, &svd.v.first_columns(k)), angle)?;

        let (s, exact) = (HostMatrix::column(&iterated.s), HostMatrix::column(&svd.sigma[..k]));
        let error = crate::distance::relative_distance(&s, &exact, svd.sigma[0]);
        let rounding = tolerance::projection(subject.precision(), m.shape());
        judge.compare(format_args!("{what}: singular values"), error, angle * angle + rounding)?;
    }
    judge.finish()
}

/// A thousand steps on a slowly turning matrix, one iteration each: the subspace follows as the exact iteration does and
/// stays orthonormal.
///
/// Finds: errors that add up in the cached V, a cache that is not refreshed.
pub fn power_iteration_drift<B: Backend>(subject: &Subject<B>) -> Outcome {
    const STEPS: usize = 1000;
    const TURN: f64 = 2e-3;
    let mut judge = Judge::new();
    let (shape, k) = ((20, 14), 2);
    judge.at(shape.0, shape.1);
    let sigma = |index: usize| [10.0, 8.0].get(index).copied().unwrap_or(2.0 - 0.1 * index as f64);
    let planted = with_spectrum("drifting", Family::Spiked, shape, sigma).planted;
    let Some(Svd { mut u, sigma, mut v }) = planted else {
        return Err(Failure::Suite { reason: "an input made from factors has lost them".to_owned() });
    };
    let condition = sigma[0] / (sigma[k - 1] - sigma[k]);
    let rounding = tolerance::subspace_angle(subject.precision(), shape, k, 8.0 * condition);
    let workspace = &mut subject.workspace();
    let mut host_v = v.first_columns(k).rounded(subject.precision());
    let mut device_v = subject.upload(&host_v)?;
    for step in 0..STEPS {
        turn(&mut u, step, TURN);
        turn(&mut v, step, TURN);
        let m = product_nt(&u.scaled_columns(&sigma), &v).rounded(subject.precision());
        let mut device_m = subject.upload(&m)?;
        let form = SubspaceForm::ColumnNorms;
        let iterated = Iterated::advance(subject, &mut device_m, None, &mut device_v, 1, form, workspace)?;
        let host = power_iteration(&m, &host_v, 1)?;
        let exact = u.first_columns(k);
        let (angle, expected) = (sine(&iterated.u, &exact), sine(&host.u, &exact));
        judge.compare(
            format_args!("step {step}: angle of the exact iteration"),
            (angle - expected).abs(),
            rounding,
        )?;
        let defect = crate::distance::relative_distance(
            &product_tn(&iterated.u, &iterated.u),
            &HostMatrix::identity(k),
            1.0,
        );
        let orthonormal = tolerance::orthonormality(subject.precision(), (shape.0, k));
        judge.compare(format_args!("step {step}: U is orthonormal"), defect, orthonormal)?;
        host_v = host.v;
    }
    judge.finish()
}

/// Turns one of the two leading columns towards one of the others.
fn turn(q: &mut HostMatrix, step: usize, angle: f64) {
    let (leading, other) = (step % 2, 2 + step % (q.cols - 2));
    let (sin, cos) = angle.sin_cos();
    for row in 0..q.rows {
        let (x, y) = (q.at(row, leading), q.at(row, other));
        q.data[row * q.cols + leading] = cos * x + sin * y;
        q.data[row * q.cols + other] = cos * y - sin * x;
    }
}
