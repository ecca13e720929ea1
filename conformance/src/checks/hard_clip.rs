//! The hard spectral clip of [`spectra_core::maps::HardClip`] on the backend.

use spectra_core::backend::Backend;
use spectra_core::linalg::Info;
use spectra_core::maps::{HardClip, HardClipMethod};

use super::polar::spectrum;
use super::soft_clip::uncertainty;
use crate::HostMatrix;
use crate::distance::relative_distance;
use crate::inputs::{Family, Input, around_threshold, with_spectrum};
use crate::oracle::Svd;
use crate::suite::{Failure, Judge, Outcome, Subject};
use crate::tolerance;

fn apply<B: Backend>(
    subject: &Subject<B>,
    clip: &HardClip,
    m: &HostMatrix,
    c: f64,
) -> Result<(HostMatrix, Info), Failure> {
    let mut out = subject.unreadable(m.rows, m.cols)?;
    let info = clip.apply(&subject.upload(m)?, c, &mut out, &mut subject.workspace())?;
    Ok((subject.download(&out)?, info))
}

/// How much the singular values that may be left as they are exceed c, in the Frobenius norm: the rest is proven to lie
/// below `(1 + slack) c` only.
fn gray(sigma: &[f64], c: f64) -> f64 {
    let most = c * (1.0 + HardClip::AUTO.slack);
    let within = sigma.iter().filter(|sigma| **sigma > c && **sigma <= most);
    within.map(|sigma| (sigma - c).powi(2)).sum::<f64>().sqrt()
}

/// The absolute error that the documentation allows for what `info` says was done.
pub(crate) fn allowed<B: Backend>(subject: &Subject<B>, svd: &Svd, c: f64, info: &Info) -> f64 {
    let (precision, shape) = (subject.precision(), (svd.u.rows, svd.v.rows));
    let norm = HostMatrix::column(&crate::oracle::hard_clipped(&svd.sigma, c)).frobenius_norm();
    let deflation = tolerance::clip(precision, shape) * norm + gray(&svd.sigma, c);
    match info.certificate {
        Some(_) => deflation,
        // Polar factors of what the deflation left.
        None => {
            let rest = svd.sigma.get(info.deflated).copied().unwrap_or(0.0);
            deflation + tolerance::by_polar_factors(precision, shape, rest.max(c))
        }
    }
}

fn compare<B: Backend>(
    judge: &mut Judge,
    subject: &Subject<B>,
    clip: &HardClip,
    input: &Input,
    c: f64,
) -> Result<Info, Failure> {
    let (m, svd) = (&input.matrix, input.svd()?);
    let what = format!("hard clip, {:?}, of {} at {c:e}", clip.method, input.name);
    let (computed, info) = apply(subject, clip, m, c)?;
    let exact = svd.hard_clip(c);
    let norm = exact.frobenius_norm();
    if norm == 0.0 {
        judge.require(computed.max_abs() == 0.0, format_args!("{what}: zero stays zero"))?;
        return Ok(info);
    }
    let error = relative_distance(&computed, &exact, norm);
    judge.compare(
        format_args!("{what}"),
        error,
        allowed(subject, svd, c, &info) / norm + uncertainty(m, norm),
    )?;
    if let Some(certificate) = info.certificate {
        // The bound of what is left must hold, up to the rounding errors of size eps ||X|| that it documents.
        let rest = svd.sigma.get(info.deflated).copied().unwrap_or(0.0);
        let rounding = tolerance::product(subject.precision(), m.rows + m.cols) * svd.sigma[0];
        let missing = (rest - certificate).max(0.0) / svd.sigma[0];
        judge.compare(format_args!("{what}: certificate"), missing, rounding / svd.sigma[0])?;
        let most = (1.0 + clip.slack) * c + rounding;
        judge.require(
            certificate <= most,
            format_args!("{what}: the certificate {certificate:e} is above {most:e}"),
        )?;
    }
    Ok(info)
}

/// By deflation, or the way it chooses, from `sigma_1 / c` = 1e-3 to 1e4: result and certificate.
///
/// Finds: directions above c that were missed, a certificate without proof, rounding errors of large values that reach
/// small ones.
pub fn hard_clip_auto<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let mut certified = 0;
    for input in around_threshold(subject.precision()) {
        judge.on(input);
        let info = compare(&mut judge, subject, &HardClip::AUTO, input, 1.0)?;
        certified += usize::from(info.certificate.is_some());
    }
    // Where a few values exceed c and none lies next to it nothing stands in the way of a proof.
    let all = around_threshold(subject.precision()).len();
    judge
        .require(2 * certified >= all, format_args!("{certified} of {all} hard clips carry a certificate"))?;
    judge.finish()
}

/// The standard inputs, zero, vectors and entries at the ends of the range among them.
///
/// Finds: squares out of range, 0 / 0, a threshold or a certificate that is not scaled with the matrix.
pub fn hard_clip_extreme<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let extreme = subject.extreme_inputs()?;
    let ordinary = subject.ordinary_inputs().filter(|input| input.family != Family::Extreme);
    for input in ordinary.chain(extreme) {
        judge.on(input);
        let largest = input.svd()?.sigma[0];
        for factor in [0.3, 3.0] {
            let c = if largest > 0.0 { subject.precision().round(factor * largest) } else { factor };
            compare(&mut judge, subject, &HardClip::AUTO, input, c)?;
        }
    }
    judge.finish()
}

/// By two polar factors, as far up as the documentation promises singular values (`100 eps ||X||_F <= c`); beyond, no
/// singular value exceeds c.
///
/// Finds: a projector from the wrong side, a sign of the second factor, cancellation of large values.
pub fn hard_clip_polar<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    let polar = HardClip { method: HardClipMethod::Polar, ..HardClip::AUTO };
    let eps = 2.0 * subject.precision().unit_roundoff();
    for input in around_threshold(subject.precision()) {
        judge.on(input);
        if 100.0 * eps * input.matrix.frobenius_norm() <= 0.99 {
            compare(&mut judge, subject, &polar, input, 1.0)?;
        } else {
            let (computed, _) = apply(subject, &polar, &input.matrix, 1.0)?;
            let what = format!("clip of {}", input.name);
            let excess = (spectrum(&mut judge, &what, &computed)?[0] - 1.0).max(0.0);
            let tolerance = tolerance::backward(subject.precision(), computed.shape());
            judge.compare(format_args!("{what}: spectral norm"), excess, tolerance)?;
        }
    }
    judge.finish()
}

/// More values above c than are treated one by one: the largest are, polar factors take the rest.
///
/// Finds: a block that cannot hold them all taken for complete.
pub fn hard_clip_many_above<B: Backend>(subject: &Subject<B>) -> Outcome {
    let mut judge = Judge::new();
    judge.at(272, 268);
    // At most 256 directions are treated one by one.
    let input = with_spectrum("260 values above c", Family::Flat, (272, 268), |index| {
        if index < 260 { 4.0 - index as f64 / 130.0 } else { 0.5 }
    });
    let info = compare(&mut judge, subject, &HardClip::AUTO, &input.rounded(subject.precision()), 1.0)?;
    judge.require(
        info.certificate.is_none(),
        format_args!("260 values cannot be certified one by one: {info:?}"),
    )?;
    judge.finish()
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_values_within_the_slack_may_be_left() {
        assert_eq!(super::gray(&[2.0, 1.02, 1.0, 0.5], 1.0), 0.0);
        assert!((super::gray(&[2.0, 1.005, 0.5], 1.0) - 0.005).abs() < 1e-15);
    }
}
