//! Whether two frameworks gave the same loss curve: one picture, and the largest difference.
//!
//! ```sh
//! cargo run --release -p spectra-candle --example train_lm -- --optimizer spectra --out runs/candle
//! cargo run --release -p spectra-burn --example train_lm -- --optimizer spectra --out runs/burn
//! cargo run --release -p spectra-burn --example same_curve -- runs/candle runs/burn runs/same_curve.png
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use spectra_examples::checkpoints::Checkpoints;
use spectra_examples::{Failure, Record, Settings, pictures, report, write_whole};

fn main() -> ExitCode {
    report(run())
}

fn run() -> Result<(), Failure> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [first, second, picture] = arguments.as_slice() else {
        return Err(Failure::input("pass two output folders of train_lm and the name of a picture"));
    };
    let (ours, theirs) = (runs(first)?, runs(second)?);
    let mut drawn = Vec::new();
    for (name, (settings, one)) in &ours {
        let Some((others, two)) = theirs.get(name) else { continue };
        if let Some(difference) = settings.difference(others) {
            return Err(Failure::input(format!("{name} was run with other settings ({difference})")));
        }
        println!("{name}: {}", compare(one, two));
        for (folder, record) in [(first, one), (second, two)] {
            let optimizer = format!("{name} ({})", folder.file_name().unwrap_or_default().to_string_lossy());
            drawn.push((Settings { optimizer, ..settings.clone() }, record.clone()));
        }
    }
    if drawn.is_empty() {
        return Err(Failure::input("the two folders have no optimizer in common"));
    }
    write_whole(picture, &pictures::loss(&drawn)?)
}

/// The runs of an output folder, by optimizer.
fn runs(folder: &Path) -> Result<BTreeMap<String, (Settings, Record)>, Failure> {
    let unusable =
        |error: String| Failure::input(format!("{} is no output folder: {error}", folder.display()));
    let json = std::fs::read(folder.join("run.json")).map_err(|error| unusable(error.to_string()))?;
    let settings: BTreeMap<String, Settings> =
        serde_json::from_slice(&json).map_err(|error| unusable(error.to_string()))?;
    let with_record = |(name, settings): (String, Settings)| {
        let latest = Checkpoints::new(folder.join(&name)).latest(&settings)?;
        let (_, record) = latest.ok_or_else(|| unusable(format!("{name} has no checkpoint")))?;
        Ok((name, (settings, record)))
    };
    settings.into_iter().map(with_record).collect()
}

/// The largest differences of the losses.
fn compare(one: &Record, two: &Record) -> String {
    let largest = |pairs: &mut dyn Iterator<Item = (usize, f64, f64)>| {
        pairs.fold(
            (0, 0.0f64),
            |(at, worst), (step, a, b)| {
                if (a - b).abs() > worst { (step, (a - b).abs()) } else { (at, worst) }
            },
        )
    };
    let rows = || one.rows.iter().zip(&two.rows);
    let (step, training) = largest(&mut rows().map(|(a, b)| (a.step, a.training_loss, b.training_loss)));
    let (_, early) = largest(&mut rows().take(20).map(|(a, b)| (a.step, a.training_loss, b.training_loss)));
    let (_, validation) =
        largest(&mut one.validations().zip(two.validations()).map(|((step, _, a), (_, _, b))| (step, a, b)));
    format!(
        "{} steps; largest difference of the training loss {training:.2e} (step {step}; {early:.2e} in the first 20 steps), of \
         the validation loss {validation:.2e}; last validation losses {:.4} and {:.4}",
        one.rows.len().min(two.rows.len()),
        one.final_loss().unwrap_or(f64::NAN),
        two.final_loss().unwrap_or(f64::NAN),
    )
}
