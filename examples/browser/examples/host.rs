//! `expected` prints what the page must find, as JSON; `sweep` the losses by learning rates.

use spectra_browser::{Bench, Mapping, PRESETS, STEPS, Training};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("expected") => expected(),
        Some("sweep") => sweep(),
        _ => Err("expected: `expected` or `sweep`".into()),
    }
}

/// The losses of a run of each preset, and the images of a spectrum: numbers as Rust prints them, which is all their digits.
fn expected() -> Result<(), Box<dyn std::error::Error>> {
    let mut runs = Vec::new();
    for preset in PRESETS {
        let mut training = Training::new(preset.name, preset.lr, 32.0)?;
        let mut seen = Vec::new();
        for _ in 0..STEPS {
            seen.push(training.step()?);
        }
        let losses: Vec<_> = seen.iter().map(|seen| seen.loss).collect();
        let updates: Vec<_> = seen.iter().map(|seen| &seen.update).collect();
        runs.push(format!(r#"{{"name": {:?}, "losses": {losses:?}, "updates": {updates:?}}}"#, preset.name));
    }
    let values = [9.0, 4.0, 1.5, 0.7, 0.4, 0.2];
    let mut images = Vec::new();
    for mapping in [Mapping::TailShrink(2), Mapping::SoftClip(1.25), Mapping::HardClip(1.25), Mapping::Muon] {
        images.push(Bench::default().map(&values, mapping)?.values);
    }
    println!(r#"{{"runs": [{}], "values": {values:?}, "images": {images:?}}}"#, runs.join(", "));
    Ok(())
}

/// The loss at the end, by preset and learning rate.
fn sweep() -> Result<(), Box<dyn std::error::Error>> {
    for condition in [1.0, 8.0, 32.0, 128.0, 512.0] {
        for preset in PRESETS {
            print!("condition {condition:>3}, {:<8}", preset.name);
            for exponent in -9..=1 {
                let mut training = Training::new(preset.name, f64::from(exponent).exp2(), condition)?;
                for _ in 0..STEPS {
                    training.step()?;
                }
                print!(" {exponent}: {:.1e}", training.loss()?);
            }
            println!();
        }
    }
    Ok(())
}
