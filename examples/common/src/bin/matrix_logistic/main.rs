//! The synthetic experiments of 2603.14315, appendix F.1: constrained matrix logistic regression by Frank-Wolfe, and
//! stochastic gradients with sparse spectral spikes.
//!
//! ```text
//! cargo run --release --bin matrix_logistic [-- --out out/matrix_logistic] [--quick]
//! ```
//!
//! Prints the tables and writes them with the pictures `constrained.png` (the paper's F.1), `stochastic.png` (F.4), `spikes.png`
//! (F.5) and `spikes_momentum.png` (F.6).

mod constrained;
mod noise;
mod problem;
mod stochastic;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use spectra_examples::{Failure, Folder, pictures, report};

/// Synthetic experiments of the spectral clip paper.
#[derive(Parser)]
struct Arguments {
    /// Folder for tables and pictures.
    #[arg(long, default_value = "out/matrix_logistic")]
    out: PathBuf,
    /// A tenth of the steps and one seed.
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    report(|| run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let out = Folder::take(&arguments.out)?;
    let (steps, seeds) = if arguments.quick { (50, 1) } else { (500, 3) };
    let mut tables = String::new();
    let (long, many) = if arguments.quick { (200, 2) } else { (2000, 10) };
    for name in ["constrained", "stochastic", "spikes", "spikes_momentum"] {
        let (table, panels) = match name {
            "constrained" => constrained::study(steps),
            "stochastic" => stochastic::study(long, many),
            "spikes" => noise::study(0.0, steps, seeds),
            _ => noise::study(0.9, steps, seeds),
        }
        .map_err(Failure::run)?;
        println!("{table}");
        tables += &table;
        tables += "\n";
        let picture = pictures::curves(&panels, 3)?;
        out.write(&format!("{name}.png"), &picture)?;
    }
    out.write("tables.txt", tables.as_bytes())?;
    println!("Pictures and tables: {}", arguments.out.display());
    Ok(())
}
