//! The golden results of the spectral maps.

use std::error::Error;

use spectra_core::backend::{Backend, Element, Matrix};
use spectra_core::linalg::{Info, Polar, Steps, Workspace};
use spectra_core::maps::{HardClip, SoftClip, Threshold, VectorRule};

use super::Golden;
use super::replay::{download, upload};
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
            continue;
        }
        let x = upload(backend, &case.inputs().parameter(input)?)?;
        let (rows, cols) = x.shape();
        let mut out = backend.zeros(rows, cols, None)?;
        apply(output, &x, &mut out, &mut workspace)?;
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
    if compared == 0 { Err(format!("{name}: nothing to compare").into()) } else { Ok(worst) }
}

/// The map that an output's name asks for.
fn apply<B: Backend>(
    output: &str,
    x: &B::Matrix,
    out: &mut B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<Info, Box<dyn Error>> {
    // The longest prefixes first.
    if let Some(c) = output.strip_prefix("exact_c") {
        return Ok(SoftClip::default().apply(x, c.parse()?, out, workspace)?);
    }
    if let Some(c) =
        output.strip_prefix("official_ns10_f64_c").or_else(|| output.strip_prefix("official_ns10_f32_c"))
    {
        return Ok(SoftClip::OFFICIAL.apply(x, c.parse()?, out, workspace)?);
    }
    if let Some(c) = output.strip_prefix("hard_clip_c") {
        return Ok(HardClip::default().apply(x, c.parse()?, out, workspace)?);
    }
    if let Some(t) = output.strip_prefix("nuclear_soft_threshold_t") {
        return Ok(Threshold::Soft { t: t.parse()? }.apply(x, out, workspace)?);
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
            c.parse()?,
            out,
            workspace,
        )?);
    }
    let polar = match output {
        "polar" => Polar::exact::<B::Element>(),
        "muon_ns5" => Polar::MUON,
        "polar_express5" => Polar::POLAR_EXPRESS,
        // The authors' normalisation is Muon's iteration with ten steps.
        "spectra_normalize_ns10" => Polar { steps: Steps::Fixed(10), ..Polar::MUON },
        other => return Err(format!("no map {other}").into()),
    };
    Ok(polar.apply(x, out, workspace)?)
}

/// `v0` of `official_v0_c2`.
fn vector_of(output: &str) -> Result<&str, Box<dyn Error>> {
    output.split('_').nth(1).ok_or_else(|| format!("no vector in {output}").into())
}
