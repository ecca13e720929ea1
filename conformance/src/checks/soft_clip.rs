//! The soft spectral clip of [`spectra_core::maps::SoftClip`] on the backend.

use spectra_core::backend::Backend;
use spectra_core::maps::{SoftClip, VectorRule};

use crate::HostMatrix;
use crate::distance::relative_error;
use crate::inputs::{Family, around_threshold};
use crate::oracle::{coupled_cubic_steps, official_bound};
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::tolerance;

pub(crate) fn apply<B: Backend>(
    subject: &Subject<B>,
    clip: &SoftClip,
    m: &HostMatrix,
    c: f64,
) -> Result<HostMatrix, Failure> {
    let mut out = subject.unreadable(m.rows, m.cols)?;
    clip.apply(&subject.upload(m)?, c, &mut out, &mut subject.workspace())?;
    subject.download(&out)
}

/// What the oracle's own decomposition leaves open, relative to a result of this norm.
pub(crate) fn uncertainty(m: &HostMatrix, norm: f64) -> f64 {
    8.0 * f64::EPSILON * m.frobenius_norm() / norm
}

/// From `sigma_1 / c` = 1e-3 to 1e4, whatever the spectrum, to the documented accuracy.
///
/// Finds: an iteration that has not converged, values lost beside larger ones, a bound that is too small.
pub fn soft_clip_auto<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in around_threshold(subject.precision()) {
        judge.on(input);
        let exact = input.svd()?.soft_clip(1.0);
        let computed = apply(subject, &SoftClip::AUTO, &input.matrix, 1.0)?;
        let open = uncertainty(&input.matrix, exact.frobenius_norm());
        let tolerance = tolerance::clip(subject.precision(), input.matrix.shape()) + open;
        let what = format_args!("soft clip of {}", input.name);
        judge.compare(what, relative_error(&computed, &exact), tolerance)?;
    }
    judge.finish()
}

/// The standard inputs, zero and entries at the ends of the range among them, at a threshold below and one above the
/// largest singular value.
///
/// Finds: squares out of range, 0 / 0, a threshold that is not scaled with the matrix, a wrong orientation.
pub fn soft_clip_extreme<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let extreme = subject.extreme_inputs()?;
    let ordinary = subject.ordinary_inputs().filter(|input| input.family != Family::Extreme);
    for input in ordinary.chain(extreme) {
        judge.on(input);
        let svd = input.svd()?;
        let largest = svd.sigma[0];
        for factor in [0.25, 3.0] {
            let c = if largest > 0.0 { subject.precision().round(factor * largest) } else { factor };
            let what = format!("soft clip of {} at {c:e}", input.name);
            let computed = apply(subject, &SoftClip::AUTO, &input.matrix, c)?;
            if largest == 0.0 {
                judge.require(computed.max_abs() == 0.0, format_args!("{what}: zero stays zero"))?;
                continue;
            }
            let exact = svd.soft_clip(c);
            let open = uncertainty(&input.matrix, exact.frobenius_norm());
            let tolerance = tolerance::clip(subject.precision(), input.matrix.shape()) + open;
            judge.compare(format_args!("{what}"), relative_error(&computed, &exact), tolerance)?;
        }
    }
    judge.finish()
}

/// The authors' ten cubic steps, converged or not: each singular value must be where the scalar recursion puts it.
///
/// Finds: another bound, another number of steps, an iteration that stops when it has converged.
pub fn soft_clip_fixed<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for input in around_threshold(subject.precision()) {
        judge.on(input);
        let (m, svd) = (&input.matrix, input.svd()?);
        let alpha = official_bound(m, 1.0);
        // As for an inverse square root of (I + X X^T / c^2) / alpha, whose smallest eigenvalue is 1 / alpha.
        let r = m.min_extent();
        let tolerance = tolerance::inverse_sqrt(subject.precision(), r, 1.0 / alpha)
            + tolerance::product(subject.precision(), m.rows.max(m.cols)) * alpha;
        if tolerance > 1e-2 {
            continue;
        }
        let exact = svd.with_values(&coupled_cubic_steps(&svd.sigma, 1.0, alpha, 10));
        let computed = apply(subject, &SoftClip::OFFICIAL, m, 1.0)?;
        let open = uncertainty(m, exact.frobenius_norm());
        let what = format_args!("ten cubic steps on {}", input.name);
        judge.compare(what, relative_error(&computed, &exact), tolerance + open)?;
    }
    judge.finish()
}

/// Vectors by their Euclidean norm: the smooth rule, and the authors' with its step at c.
///
/// Finds: the matrix rule's bound for a norm, a comparison the wrong way round, squares out of range.
pub fn soft_clip_vector<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    for (rows, cols) in [(1, 65), (65, 1), (1, 1), (9, 7)] {
        judge.at(rows, cols);
        let unit = subject.random("vector", rows, cols);
        let unit = unit.map(|entry| entry / unit.frobenius_norm());
        for scale in [1e-30, 1.0, 1e30] {
            let x = unit.map(|entry| scale * entry).rounded(subject.precision());
            for ratio in [1e-6, 0.5, 0.99, 1.01, 3.0, 1e6] {
                let c = subject.precision().round(scale / ratio);
                let t = x.frobenius_norm() / c;
                let smooth = 1.0 / 1_f64.hypot(t);
                for (rule, factor) in [
                    (VectorRule::Smooth, smooth),
                    (VectorRule::Official, if t <= 1.0 { 1.0 } else { smooth }),
                ] {
                    let mut out = subject.unreadable(rows, cols)?;
                    let clip = SoftClip { vectors: rule, ..SoftClip::AUTO };
                    clip.apply_vector(&subject.upload(&x)?, c, &mut out, &mut subject.workspace())?;
                    let error = relative_error(&subject.download(&out)?, &x.map(|entry| factor * entry));
                    // The norm counts once in the factor, whose own chain is a dozen scalar operations.
                    let precision = subject.precision();
                    let tolerance =
                        tolerance::norm(precision, x.data.len()) + tolerance::elementwise(precision, 16);
                    let what =
                        format_args!("{rule:?} clip of {rows} x {cols}, norm {scale:e}, norm / c = {ratio}");
                    judge.compare(what, error, tolerance)?;
                }
            }
        }
    }
    judge.finish()
}
