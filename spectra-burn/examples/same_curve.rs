//! Whether two frameworks gave the same loss curve: one picture, and the largest difference.
//!
//! ```sh
//! cargo run --release --bin train_lm -- --steps 400 --out out/candle
//! cargo run --release -p spectra-burn --example train_lm_burn -- --steps 400 --out out/burn
//! cargo run --release -p spectra-burn --example same_curve -- out/candle out/burn out/same_curve.png
//! ```
//!
//! How far rounding alone takes two runs apart is seen in the same way: `train_lm --ulp 1` begins with every weight off by one
//! unit in its last place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use spectra_examples::checkpoints::Checkpoints;
use spectra_examples::pictures::{Panel, curves};
use spectra_examples::{Failure, Record, Row, Settings, report, write_whole};

fn main() -> ExitCode {
    report(run)
}

fn run() -> Result<(), Failure> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [first, second, picture] = arguments.as_slice() else {
        return Err(Failure::input("pass two output folders of train_lm and the name of a picture"));
    };
    let named = |folder: &Path| folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names = [named(first), named(second)];
    let (mut ones, others) = (runs(first)?, runs(second)?);
    let mut panels = Vec::new();
    for (optimizer, (settings, two)) in &others {
        let Some((theirs, one)) = ones.remove(optimizer) else { continue };
        if let Some(difference) = (Settings { ulp: settings.ulp, ..theirs }).difference(settings) {
            return Err(Failure::input(format!("{optimizer} was run with other settings ({difference})")));
        }
        println!("{optimizer}: {}", compare(&one, two));
        panels.extend(draw(optimizer, &names, [&one, two]));
    }
    if panels.is_empty() {
        return Err(Failure::input("the two folders have no optimizer in common"));
    }
    write_whole(picture, &curves(&panels, 2)?)
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

/// The steps that both have done.
fn steps<'a>(one: &'a Record, two: &'a Record) -> impl Iterator<Item = (&'a Row, &'a Row)> {
    one.rows.iter().zip(&two.rows)
}

/// Both curves of the training loss, and how far they are apart.
fn draw(optimizer: &str, names: &[String; 2], [one, two]: [&Record; 2]) -> [Panel; 2] {
    let loss = |row: &Row| (row.step as f64, row.training_loss);
    let curve = |name: &String, record: &Record| (name.clone(), record.rows.iter().map(loss).collect());
    let apart = |(a, b): (&Row, &Row)| (a.step as f64, (a.training_loss - b.training_loss).abs());
    let panel = |title, curves| {
        let (across, up) = ("training steps", "nats per byte");
        Panel { title, across, up, logarithmic: false, curves }
    };
    let both = vec![curve(&names[0], one), curve(&names[1], two)];
    let difference = vec![("difference".to_owned(), steps(one, two).map(apart).collect())];
    [
        panel(format!("{optimizer}: training loss"), both),
        panel(format!("{optimizer}: their difference"), difference),
    ]
}

/// The largest differences of the losses.
fn compare(one: &Record, two: &Record) -> String {
    let (mut at, mut largest) = (0, 0.0f64);
    for (a, b) in steps(one, two) {
        let difference = (a.training_loss - b.training_loss).abs();
        if difference > largest {
            (at, largest) = (a.step, difference);
        }
    }
    let validations = one.validations().zip(two.validations());
    let validation = validations.fold(0.0f64, |worst, ((_, _, a), (_, _, b))| worst.max((a - b).abs()));
    format!(
        "{} steps; largest difference of the training loss {largest:.2e} (step {at}), of the validation loss \
         {validation:.2e}; last validation losses {:.6} and {:.6}",
        steps(one, two).count(),
        one.final_loss().unwrap_or(f64::NAN),
        two.final_loss().unwrap_or(f64::NAN),
    )
}
