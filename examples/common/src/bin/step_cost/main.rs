//! What an optimizer step costs on this machine, against floors measured in the same run.
//!
//! ```text
//! cargo run --release --bin step_cost [-- --f64] [--quick] [--presets [--only soap,muon]] [--out out/step_cost]
//! cargo run --release --bin step_cost -- --model qwen3-0.6b [--only adamw,muon] [--record bench/history.csv]
//! cargo run --release --bin step_cost -- --history bench/history.csv
//! ```
//!
//! Prints three tables: every operation of a Spectra step at three shapes, beside AdamW's pass; the whole step against
//! size and threads; and a step of every preset on the 196 matrices of Qwen3-0.6B's layers. Writes them with `cost.png`
//! (cost against size, with the floors) and `measured.csv` (for `bench/peers`). A time is the least of several runs:
//! other load can only add. With `--presets` only a step of every preset on single matrices, and `presets.csv`.
//!
//! `--model`: a step on all parameters of a published model, planned as a training would be, with random gradients: whole where
//! weights, gradients and state fit into memory, otherwise one layer after the other and equal ones once. What the time goes to is of a step whose calls come one
//! after the other; the time itself of one with small matrices side by side. A table, a picture and files for `bench/peers/models.py`.

mod machine;
mod measure;
mod models;
mod operations;
mod presets;
mod scaling;
mod whole;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{ArgGroup, Parser};
use measure::Report;
use spectra_core::faer::FaerElement;
use spectra_core::optimizer::Method;
use spectra_examples::{Failure, Folder, pictures, report};

/// Times the operations of an optimizer step.
#[derive(Parser)]
#[command(group = ArgGroup::new("of_presets").args(["presets", "model"]))]
struct Arguments {
    /// Folder for tables and the picture.
    #[arg(long, default_value = "out/step_cost")]
    out: PathBuf,
    /// In double precision.
    #[arg(long)]
    f64: bool,
    /// Small shapes only.
    #[arg(long)]
    quick: bool,
    /// Only a step of every preset on single matrices.
    #[arg(long)]
    presets: bool,
    /// With --presets or --model: these alone, separated by commas.
    #[arg(long, value_delimiter = ',', requires = "of_presets",
          value_parser = PossibleValuesParser::new(Method::presets().map(|(name, ..)| name)))]
    only: Vec<String>,
    /// Only a step of this whole model.
    #[arg(long, value_name = "NAME")]
    model: Option<whole::Model>,
    /// With --model: adds the measurements to this file, with commit and machine.
    #[arg(long, value_name = "FILE", requires = "model")]
    record: Option<PathBuf>,
    /// Measures nothing; draws the measurements of this file as history.png.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["presets", "model"])]
    history: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    report(|| if arguments.f64 { run::<f64>(&arguments) } else { run::<f32>(&arguments) })
}

fn run<E: FaerElement>(arguments: &Arguments) -> Result<(), Failure> {
    let out = Folder::take(&arguments.out)?;
    if let Some(file) = &arguments.history {
        out.write("history.png", &whole::history(file)?)?;
        println!("Picture: {}", arguments.out.join("history.png").display());
        return Ok(());
    }
    if let Some(model) = arguments.model {
        return whole::run::<E>(&out, model, &arguments.only, arguments.record.as_deref());
    }
    let mut report = Report::new::<E>().map_err(Failure::run)?;
    let shapes: &[_] =
        if arguments.quick { &[(256, 768)] } else { &[(1024, 3072), (4096, 4096), (4096, 14336)] };
    if arguments.presets {
        let shapes = if arguments.quick { shapes } else { &shapes[..2] };
        presets::table::<E>(&mut report, shapes, &arguments.only).map_err(Failure::run)?;
        out.write("presets.csv", report.csv().as_bytes())?;
        return out.write("presets.txt", report.text().as_bytes());
    }
    for shape in shapes {
        operations::table::<E>(&mut report, *shape).map_err(Failure::run)?;
    }
    let panels = scaling::table::<E>(&mut report, arguments.quick).map_err(Failure::run)?;
    models::table::<E>(&mut report, arguments.quick).map_err(Failure::run)?;
    out.write("measured.csv", report.csv().as_bytes())?;
    out.write("tables.txt", report.text().as_bytes())?;
    out.write("cost.png", &pictures::curves(&panels, 2)?)?;
    println!("Tables and picture: {}", arguments.out.display());
    Ok(())
}
