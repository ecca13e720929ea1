//! B1: spectra of updates. 2603.14315, figures F.10-F.14.

use faer::{Mat, Scale};
use spectra_core::maps::SpectralMap;
use spectra_examples::Failure;
use spectra_examples::optimizers::config;
use spectra_examples::schedule::ClipFactors;

use super::gradients::missing;
use super::model::to_matrix;
use super::runs::{LAYERS, PRESETS, STAGES, hidden, of_preset};
use super::table::{Findings, Measured, Verdict, at_least, share};
use super::training::Place;
use crate::instruments::{gaussian, update_spectrum};

const B1: &str = "B1";
/// What the share of directions above a threshold is counted with where the optimizer has none.
const USUAL: f64 = 10.0;

pub(super) fn b1(place: &Place<'_>) -> Result<Findings, Failure> {
    let mut findings = Findings::default();
    for preset in PRESETS {
        let run = of_preset(preset);
        place.ensure(&run)?;
        let settings = place.settings(&run.flags)?;
        let clips = match config(&settings)?.spectral.recipe().map(|recipe| recipe.map) {
            Some(SpectralMap::SoftClip { threshold, .. } | SpectralMap::HardClip { threshold, .. }) => {
                Some(threshold)
            }
            _ => None,
        };
        let factors = ClipFactors::new(&settings)?;
        for stage in STAGES {
            let seen = place.seen(&run, stage)?;
            let factor = factors.at(stage as u64).map_or(1.0, |(clip, _)| clip);
            for name in hidden(&LAYERS) {
                let get = |part: &str| {
                    to_matrix(seen.get(&format!("{name}/{part}")).ok_or_else(|| missing(&name))?)
                };
                let at = (B1, stage, name.as_str());
                let direction = get("direction")?;
                let noise = noise_like(preset, direction.shape(), stage as u64);
                add(&mut findings, at, preset, "U", (&direction, &noise), clips.unwrap_or(USUAL) * factor)?;
                let Some(c) = clips else { continue };
                // Before the step scale sqrt(max(1, m / n)).
                let (m, n) = direction.shape();
                let clipped = get("update")? * Scale(1.0 / (m as f64 / n as f64).max(1.0).sqrt());
                add(&mut findings, at, preset, "clipped U", (&clipped, &noise), c * factor)?;
                let spectral = findings.rows.iter().rev().find(|row| row.quantity == "clipped U: sigma_1");
                let of_bound = spectral.map_or(f64::NAN, |row| row.value) / (c * factor);
                findings.add(at, "clipped U: sigma_1 / c_t", (of_bound, None), preset);
            }
        }
    }
    judge(&mut findings);
    Ok(findings)
}

/// Random signs for those that take signs; for Adam, whose entries are about 1 in size, normal ones.
fn noise_like(preset: &str, (m, n): (usize, usize), seed: u64) -> Mat<f64> {
    let noise = gaussian(m, n, seed);
    if preset.ends_with("signum") { Mat::from_fn(m, n, |i, j| noise[(i, j)].signum()) } else { noise }
}

fn add(
    findings: &mut Findings,
    at: (&'static str, usize, &str),
    preset: &str,
    word: &str,
    (update, noise): (&Mat<f64>, &Mat<f64>),
    c: f64,
) -> Result<(), Failure> {
    let (found, null) = (update_spectrum(update.as_ref(), c)?, update_spectrum(noise.as_ref(), c)?);
    for (quantity, value, null) in [
        ("sigma_1", found.spectral, null.spectral),
        ("sigma_1 / sqrt(mn)", found.relative, null.relative),
        ("stable rank", found.stable_rank, null.stable_rank),
        ("condition", found.condition, null.condition),
        ("share above c_t", found.above, null.above),
    ] {
        findings.add(at, format!("{word}: {quantity}"), (value, Some(null)), preset);
    }
    Ok(())
}

fn judge(findings: &mut Findings) {
    let rows = |quantity: &'static str| findings.rows.iter().filter(move |row| row.quantity == quantity);
    // f32 products of up to 352 terms, and a root by Newton's steps to 1e-3 at worst.
    let within = share(rows("clipped U: sigma_1 / c_t").map(|row| row.value <= 1.001));
    let bounded = |row: &Measured| {
        let (m, n): (f64, f64) = if row.matrix.contains("mlp") { (128.0, 352.0) } else { (128.0, 128.0) };
        // Rounding errors of a sum of mn squares.
        (m.max(n).sqrt() - 1e-6..=(m * n).sqrt() + 1e-6).contains(&row.value)
    };
    let signs = share(rows("U: sigma_1").filter(|row| row.settings.ends_with("signum")).map(bounded));
    let base = rows("U: stable rank").filter(|row| row.settings == "adamw");
    let (found, null): (Vec<f64>, Vec<f64>) =
        base.map(|row| (row.value, row.null.unwrap_or(f64::NAN))).unzip();
    let heavy = share(found.iter().zip(&null).map(|(found, null)| found < &(0.5 * null)));
    for (claim, criterion, value, threshold) in [
        (
            "clipped updates never exceed c",
            "share of (preset, matrix, stage) with sigma_1 <= 1.001 c_t",
            within,
            1.0,
        ),
        (
            "updates by signs are between their bounds",
            "share of (matrix, stage) with sigma_1 in [sqrt(max(m, n)), sqrt(mn)]",
            signs,
            1.0,
        ),
        (
            "updates of base optimizers are far from flat",
            "share of (matrix, stage) in which AdamW's U has less than half the stable rank of noise",
            heavy,
            0.9,
        ),
    ] {
        let verdict = at_least(value, threshold);
        findings.verdicts.push(Verdict {
            experiment: B1,
            claim,
            criterion,
            value,
            threshold,
            null: None,
            verdict,
        });
    }
}
