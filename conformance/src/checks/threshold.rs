//! The maps with a threshold of [`spectra_core::maps::Threshold`] on the backend.

use spectra_core::backend::Backend;
use spectra_core::linalg::Info;
use spectra_core::maps::{HardClip, Threshold};

use super::hard_clip::allowed;
use super::soft_clip::uncertainty;
use crate::HostMatrix;
use crate::distance::relative_distance;
use crate::inputs::{Input, around_threshold};
use crate::oracle::{bang_bang, elastic, schatten, soft_thresholded};
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::tolerance;

pub(crate) fn apply<B: Backend>(
    subject: &Subject<B>,
    map: &Threshold,
    m: &HostMatrix,
) -> Result<(HostMatrix, Info), Failure> {
    let mut out = subject.unreadable(m.rows, m.cols)?;
    let info = map.apply(&subject.upload(m)?, &mut out, &mut subject.workspace())?;
    Ok((subject.download(&out)?, info))
}

/// Compares with the exact values, whose error may be `allowed`.
fn compare<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    map: &Threshold,
    input: &Input,
    exact: &[f64],
    allowed: impl Fn(&Info) -> f64,
) -> Result<(), Failure> {
    let m = &input.matrix;
    let (computed, info) = apply(subject, map, m)?;
    let exact = input.svd()?.with_values(exact);
    // A result that is all rounding is compared with the threshold, 1.
    let norm = exact.frobenius_norm().max(1.0);
    let error = relative_distance(&computed, &exact, norm);
    let tolerance = allowed(&info) / norm + uncertainty(m, norm);
    judge.compare(format_args!("{map:?} of {}", input.name), error, tolerance)
}

/// `||.||_F` of the singular values above the threshold 1: what directions that are found one by one are relative to.
fn above(sigma: &[f64]) -> f64 {
    sigma.iter().filter(|sigma| **sigma > 1.0).map(|sigma| sigma * sigma).sum::<f64>().sqrt()
}

/// `max(sigma - t, 0)`.
///
/// Finds: values below the threshold that are not zero, the threshold subtracted twice or not at all.
pub fn soft_threshold<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in around_threshold(subject.precision()) {
        judge.on(input);
        let svd = input.svd()?;
        let exact = soft_thresholded(&svd.sigma, 1.0);
        compare(&mut judge, subject, &Threshold::Soft { t: 1.0 }, input, &exact, |info| {
            let found = tolerance::clip(subject.precision(), input.matrix.shape()) * above(&svd.sigma);
            found + allowed(subject, svd, 1.0, info)
        })?;
    }
    judge.finish()
}

/// `min(max(sigma - t, 0) / b, D)`.
///
/// Finds: the radius taken before the division, t and b exchanged.
pub fn elastic_threshold<B: Backend>(subject: &Subject<B>) -> Outcome {
    let (t, b, radius) = (1.0, 2.0, 3.0);
    let mut judge = Judge::new();
    for input in around_threshold(subject.precision()) {
        judge.on(input);
        let svd = input.svd()?;
        let exact = elastic(&svd.sigma, t, b, radius);
        compare(&mut judge, subject, &Threshold::Elastic { t, b, radius }, input, &exact, |info| {
            let found = tolerance::clip(subject.precision(), input.matrix.shape()) * above(&svd.sigma);
            // Elsewhere the difference of two clips over b.
            let clips = allowed(subject, svd, t, info) + allowed(subject, svd, t + b * radius, info);
            (found + clips) / b
        })?;
    }
    judge.finish()
}

/// D where sigma > t, else 0; no singular value next to the jump.
///
/// Finds: values below the threshold that are not zero, a projector from the wrong side.
pub fn bang_bang_threshold<B: Backend>(subject: &Subject<B>) -> Outcome {
    let (t, radius) = (1.0, 2.5);
    let precision = subject.precision();
    let mut judge = Judge::new();
    for input in around_threshold(precision) {
        judge.on(input);
        let svd = input.svd()?;
        let gap = svd.sigma.iter().map(|sigma| (sigma - t).abs()).fold(f64::INFINITY, f64::min);
        let polar = tolerance::by_polar_factors(precision, input.matrix.shape(), svd.sigma[0].max(t)) / gap;
        if gap < 2.0 * HardClip::AUTO.slack * t || polar > 1e-2 {
            continue;
        }
        let exact = bang_bang(&svd.sigma, t, radius);
        let norm = HostMatrix::column(&exact).frobenius_norm();
        compare(&mut judge, subject, &Threshold::BangBang { t, radius }, input, &exact, |info| {
            let found = tolerance::clip(precision, input.matrix.shape()) * norm;
            if info.certificate.is_some() { found } else { found + radius * polar }
        })?;
    }
    judge.finish()
}

/// `min((sigma / (b p))^{1/(p-1)}, D)`: by a hard clip for p = 2, else through the whole decomposition.
///
/// Finds: a power off by one, the strength inside the wrong power, small singular values lost.
pub fn schatten_threshold<B: Backend>(subject: &Subject<B>) -> Outcome {
    let (b, radius) = (0.5, 2.0);
    let precision = subject.precision();
    let mut judge = Judge::new();
    for input in around_threshold(precision) {
        judge.on(input);
        let svd = input.svd()?;
        for p in [1.5, 2.0, 3.0] {
            let exact = schatten(&svd.sigma, b, p, radius);
            compare(&mut judge, subject, &Threshold::SchattenP { p, b, radius }, input, &exact, |info| {
                if p == 2.0 {
                    // clip at 2 b D over 2 b
                    return allowed(subject, svd, 2.0 * b * radius, info) / (2.0 * b);
                }
                // Each value is known up to a backward error; so are the angles, whose effect is a difference of values
                // over a gap: as much again.
                let delta = tolerance::backward(precision, input.matrix.shape()) * svd.sigma[0];
                let moved = |sign: f64| {
                    let sigma: Vec<f64> = svd.sigma.iter().map(|s| (s + sign * delta).max(0.0)).collect();
                    schatten(&sigma, b, p, radius)
                };
                let spread: f64 = moved(1.0).iter().zip(moved(-1.0)).map(|(hi, lo)| (hi - lo).powi(2)).sum();
                let norm = HostMatrix::column(&exact).frobenius_norm();
                2.0 * spread.sqrt() + tolerance::clip(precision, input.matrix.shape()) * norm
            })?;
        }
    }
    judge.finish()
}
