//! A step with the momentum in `f32` and in bf16, in turn: milliseconds, least and median, and bytes of state.
//!
//! ```text
//! cargo run --release --bin momentum_cost [-- rows columns steps]
//! ```

use clap::Parser;
use spectra_core::backend::Result;
use spectra_core::faer::{Faer, FaerMatrix};
use spectra_core::linalg::uniform;
use spectra_core::optimizer::plan::Rule;
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec};
use spectra_core::rules::MomentumFormat;
use spectra_examples::{Failure, count, report};
use std::process::ExitCode;
use std::time::Instant;

/// A step with the momentum in `f32` and in bf16
#[derive(Parser)]
struct Arguments {
    /// Rows
    #[arg(default_value = "4096", value_parser = count, allow_hyphen_values = true)]
    rows: usize,
    /// Columns
    #[arg(default_value = "4096", value_parser = count, allow_hyphen_values = true)]
    columns: usize,
    /// Steps of each
    #[arg(default_value = "12", value_parser = count, allow_hyphen_values = true)]
    steps: usize,
}

fn main() -> ExitCode {
    report(|| run(&Arguments::parse()).map_err(Failure::run))
}

fn run(&Arguments { rows, columns: cols, steps }: &Arguments) -> Result<()> {
    let random = |seed| FaerMatrix::from_fn(rows, cols, |i, j| uniform(seed, i, j) as f32);
    let (mut weights, gradient) = (random(1), random(2));
    println!("{rows} x {cols}, f32 weights and gradients, {steps} steps of each in turn\n");
    println!("| rule | momentum | least ms | median ms | state MiB |\n|---|---|---:|---:|---:|");
    for name in ["spectra", "signum", "lion", "adamw", "mars"] {
        let formats = [MomentumFormat::Full, MomentumFormat::Bf16];
        let make = |format| {
            let config = Config::preset(name)?.momentum_format(format).check_finite(false);
            Optimizer::new(
                Faer::<f32>::new(),
                config,
                [ParameterSpec::new("w", (rows, cols), Rule::Spectral)],
            )
        };
        let mut runs = [make(formats[0])?, make(formats[1])?];
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..=steps {
            for (run, times) in runs.iter_mut().zip(&mut times) {
                let start = Instant::now();
                run.step(&mut [(&mut weights, &gradient)])?;
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        for ((run, format), times) in runs.iter().zip(formats).zip(&mut times) {
            // The first one makes the buffers.
            times.remove(0);
            times.sort_by(f64::total_cmp);
            let (least, median) = (times.first().copied().unwrap_or_default(), times[times.len() / 2]);
            let mib = run.state_bytes() as f64 / f64::from(1 << 20);
            println!("| {name} | {format:?} | {least:.2} | {median:.2} | {mib:.1} |");
        }
    }
    Ok(())
}
