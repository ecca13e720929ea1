//! The golden results of the spectral maps.

use std::error::Error;

use spectra_core::backend::{Backend, Element, Matrix};
use spectra_core::linalg::{Info, Normalization, Polar, Schedule, Steps, Workspace};
use spectra_core::maps::{HardClip, SoftClip, SoftClipMethod, Threshold, VectorRule};

use super::replay::{download, upload};
use super::{Golden, GoldenError};
use crate::distance::max_error;

/// Recomputes every output of `soft_clip_*`, `spectral_ops_*` or `vector_clip` that belongs to the backend's
/// precision; the largest error as a fraction of its tolerance, and the output it belongs to.
///
/// `f32` backends are held to 1e-4 of the largest entry, the tolerance of the authors' `f32` results.
///
/// # Errors
/// A case that is none of these, a missing array, or an error of the backend.
pub fn replay_maps<B: Backend>(backend: &B, name: &str) -> Result<(f64, String), Box<dyn Error>> {
    let case = Golden::load(name)?;
    let single = B::Element::NAME == "f32";
    let mut workspace = Workspace::new(backend.clone());
    let mut worst = (0.0, String::from("nothing"));
    let mut compared = 0;
    for output in case.outputs().names() {
        let input = if name == "vector_clip" { vector_of(output)? } else { "X" };
        // Ten steps of Muon's iteration enlarge rounding errors of f32 by 3.4445^10 = 2e5.
        let not_for_single = output.contains("_f64_") || output == "spectra_normalize_ns10";
        // Where the matrix has no rank its polar factor is any isometry; the golden one is zero there.
        let not_unique = name == "spectral_ops_lowrank" && output == "polar";
        if single && not_for_single || !single && output.contains("_f32_") || not_unique {
            case.unused(&format!("outputs.{output}"), "of the other precision, or not unique")?;
            continue;
        }
        let x = upload(backend, &case.inputs().parameter(input)?)?;
        let (rows, cols) = x.shape();
        let mut out = backend.zeros(rows, cols, None)?;
        apply(&case, output, &x, &mut out, &mut workspace)?;
        let golden = case.outputs().array(output)?.to_f64().ok_or("integers")?;
        let tolerance = case.tolerance_of(output)?;
        let tolerance = if single { tolerance.max(1e-4) } else { tolerance };
        let error = max_error(&download(&out)?, &golden) / tolerance;
        // NaN counts as the worst.
        if !(error <= worst.0) {
            worst = (error, output.to_string());
        }
        compared += 1;
    }
    if compared == 0 {
        return Err(format!("{name}: nothing to compare").into());
    }
    case.finish()?;
    Ok(worst)
}

/// The map that an output's name asks for.
fn apply<B: Backend>(
    case: &Golden,
    output: &str,
    x: &B::Matrix,
    out: &mut B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<Info, Box<dyn Error>> {
    let thresholds = case.hyper_numbers("c")?;
    // One of the case's own.
    let threshold = |text: &str| -> Result<f64, Box<dyn Error>> {
        let c = text.parse()?;
        if thresholds.contains(&c) {
            Ok(c)
        } else {
            Err(format!("{output}: no threshold of the case").into())
        }
    };
    // The longest prefixes first.
    if let Some(c) = output.strip_prefix("exact_c") {
        return Ok(SoftClip::default().apply(x, threshold(c)?, out, workspace)?);
    }
    if let Some(c) =
        output.strip_prefix("official_ns10_f64_c").or_else(|| output.strip_prefix("official_ns10_f32_c"))
    {
        let SoftClipMethod::Fixed { schedule, lower, bound, .. } = SoftClip::OFFICIAL.method else {
            return Err("the authors' clip takes a fixed number of steps".into());
        };
        let steps = case.hyper_count("ns_iter")?;
        let method = SoftClipMethod::Fixed { schedule, steps, lower, bound };
        return Ok(SoftClip { method, ..SoftClip::OFFICIAL }.apply(x, threshold(c)?, out, workspace)?);
    }
    if let Some(c) = output.strip_prefix("hard_clip_c") {
        return Ok(HardClip::default().apply(x, threshold(c)?, out, workspace)?);
    }
    if let Some(t) = output.strip_prefix("nuclear_soft_threshold_t") {
        return Ok(Threshold::Soft { t: threshold(t)? }.apply(x, out, workspace)?);
    }
    if let Some((rule, rest)) = output.split_once("_v")
        && let Some((_, c)) = rest.split_once("_c")
    {
        let vectors = match rule {
            "official" => VectorRule::Official,
            "smooth" => VectorRule::Smooth,
            other => return Err(format!("no vector rule {other}").into()),
        };
        return Ok(SoftClip { vectors, ..SoftClip::default() }.apply_vector(
            x,
            threshold(c)?,
            out,
            workspace,
        )?);
    }
    check_coefficients(case)?;
    let muon = |steps, eps: &str| -> Result<Polar, GoldenError> {
        let normalization = Normalization::Added { factor: 1.0, eps: case.hyper_number(eps)? };
        Ok(Polar { steps: Steps::Fixed(steps), normalization, ..Polar::MUON })
    };
    let polar = match output {
        "polar" => Polar::exact::<B::Element>(),
        "muon_ns5" => muon(5, "ns_eps")?,
        "polar_express5" => {
            let (factor, eps) = (case.hyper_number("pe_safety")?, case.hyper_number("pe_eps")?);
            Polar { normalization: Normalization::Added { factor, eps }, ..Polar::POLAR_EXPRESS }
        }
        // The authors' normalisation is Muon's iteration with ten steps.
        "spectra_normalize_ns10" => muon(10, "ns_eps")?,
        other => return Err(format!("no map {other}").into()),
    };
    Ok(polar.apply(x, out, workspace)?)
}

/// The case was computed with the coefficients of our schedules: Muon's digits, Polar Express's to a few roundings of the
/// exchange that finds them.
fn check_coefficients(case: &Golden) -> Result<(), Box<dyn Error>> {
    let muon = case.hyper_numbers("ns_coeffs")?;
    let express = case.hyper_rows("pe_coeffs")?;
    let rows = std::iter::once((Schedule::Muon.polynomials(1e-3, 1), vec![muon], 0.0)).chain([(
        Schedule::POLAR_EXPRESS.polynomials(1e-3, express.len()),
        express,
        1e-13,
    )]);
    for (polynomials, recorded, tolerance) in rows {
        for (p, recorded) in polynomials.zip(&recorded) {
            for (own, recorded) in [p.a, p.b, p.c].iter().zip(recorded) {
                if (own / recorded - 1.0).abs() > tolerance {
                    return Err(format!("{}: coefficient {recorded}, not {own}", case.name).into());
                }
            }
        }
    }
    Ok(())
}

/// `v0` of `official_v0_c2`.
fn vector_of(output: &str) -> Result<&str, Box<dyn Error>> {
    output.split('_').nth(1).ok_or_else(|| format!("no vector in {output}").into())
}
