//! What the first step of tail shrink costs beside a later one, by rank.
//!
//! ```sh
//! cargo run --release --bin bootstrap_cost            # 1024 x 4096 on the faer backend
//! cargo run --release --bin bootstrap_cost -- 256 512 --dense
//! ```

use clap::Parser;
use spectra_core::backend::{Backend, Element, Result};
use spectra_core::dense::Dense;
use spectra_core::faer::Faer;
use spectra_core::linalg::uniform;
use spectra_core::maps::{SpectralMap, TailShrink};
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec, Recipe, plan::Rule};
use spectra_examples::{Failure, count, report};
use std::process::ExitCode;
use std::time::Instant;

/// Shares of the short side.
const RATIOS: [f64; 4] = [0.1, 0.2, 0.3, 0.6];

/// The first step of `spectra` beside a later one
#[derive(Parser)]
struct Arguments {
    /// Rows
    #[arg(default_value = "1024", value_parser = count, allow_hyphen_values = true)]
    rows: usize,
    /// Columns
    #[arg(default_value = "4096", value_parser = count, allow_hyphen_values = true)]
    columns: usize,
    /// The portable backend in the place of faer's
    #[arg(long)]
    dense: bool,
}

fn main() -> ExitCode {
    report(|| run(&Arguments::parse()).map_err(Failure::run))
}

fn run(&Arguments { rows, columns: cols, dense }: &Arguments) -> Result<()> {
    println!("{rows} x {cols} in f32, a step of `spectra`");
    println!("{:>6} {:>10} {:>12} {:>10}", "k", "first, s", "a later, s", "ratio");
    for ratio in RATIOS {
        if dense {
            measure(Dense::<f32>::new(), (rows, cols), ratio)?;
        } else {
            measure(Faer::<f32>::new(), (rows, cols), ratio)?;
        }
    }
    Ok(())
}

fn measure<B: Backend>(backend: B, (rows, cols): (usize, usize), rank_ratio: f64) -> Result<()> {
    let map = TailShrink { rank_ratio, ..TailShrink::PAPER };
    let recipe = Recipe::preset("spectra")?.with_map(SpectralMap::TailShrink(map));
    let spec = ParameterSpec::new("w", (rows, cols), Rule::Spectral);
    let mut optimizer = Optimizer::new(backend.clone(), Config::new(recipe).lr(0.01), [spec])?;
    let mut weights = backend.zeros(rows, cols, None)?;
    let mut seconds = Vec::new();
    for step in 0..4 {
        // A few strong directions over a broad spectrum, as gradients have them.
        let strong =
            |i: usize, j: usize| (0..4).map(|t| 0.3 * uniform(t, i, 0) * uniform(t + 9, 0, j)).sum::<f64>();
        let entry = |at: usize| {
            let (i, j) = (at / cols, at % cols);
            B::Element::narrow(
                uniform(100 + step, i, j) / (1.0 + 8.0 * i as f64 / rows as f64) + strong(i, j),
            )
        };
        let gradient: Vec<_> = (0..rows * cols).map(entry).collect();
        let gradient = backend.upload(rows, cols, &gradient)?;
        let start = Instant::now();
        optimizer.step(&mut [(&mut weights, &gradient)])?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    let later = seconds[2..].iter().copied().fold(f64::INFINITY, f64::min);
    println!("{:>6} {:>10.3} {:>12.3} {:>10.1}", map.rank(rows, cols), seconds[0], later, seconds[0] / later);
    Ok(())
}
