//! Resident memory of a process with one, two and ten optimizers, and when they are gone. Linux.
//!
//! ```sh
//! cargo run --release --bin resident_memory        # on as many threads as cores
//! cargo run --release --bin resident_memory 64
//! ```
//!
//! With 16 threads on two cores: 66 MiB for one optimizer (40 of them state), 126 for two, 606 for ten. What is freed the C
//! library keeps for itself; with `MALLOC_MMAP_THRESHOLD_=65536`, which makes it give large blocks back, 22 MiB stay when all are gone.

use clap::Parser;
use spectra_core::backend::{Error, Result};
use spectra_core::faer::{Faer, FaerMatrix};
use spectra_core::linalg::uniform;
use spectra_core::maps::{SpectralMap, TailShrink};
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec, Recipe, plan::Rule};
use spectra_examples::{Failure, report};
use std::process::ExitCode;

/// Two large layers on all threads, and a few small ones beside each other.
const SHAPES: [(usize, usize); 6] =
    [(1024, 4096), (1024, 4096), (320, 256), (320, 256), (320, 256), (320, 256)];

/// Two steps: afterwards everything is there that an optimizer keeps.
const STEPS: usize = 2;

/// What ten optimizers keep of the process's memory
#[derive(Parser)]
struct Arguments {
    /// Threads; 0: as many as there are cores
    #[arg(default_value = "0")]
    threads: usize,
}

fn main() -> ExitCode {
    report(|| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(Arguments::parse().threads).build();
        pool.map_err(Failure::run)?.install(run).map_err(Failure::run)
    })
}

fn run() -> Result<()> {
    let random = |seed, rows, cols| FaerMatrix::from_fn(rows, cols, |i, j| uniform(seed, i, j) as f32);
    let mut weights: Vec<_> = SHAPES.iter().map(|(m, n)| random(1, *m, *n)).collect();
    let gradients: Vec<_> = SHAPES.iter().map(|(m, n)| random(2, *m, *n)).collect();
    let before = resident()?;
    println!("{} threads; weights and gradients: {before:.0} MiB", rayon::current_num_threads());
    let mut optimizers = Vec::new();
    for count in 1..=10 {
        let mut optimizer = new()?;
        for _ in 0..STEPS {
            optimizer.par_step(&mut weights.iter_mut().zip(&gradients).collect::<Vec<_>>())?;
        }
        optimizers.push(optimizer);
        if [1, 2, 10].contains(&count) {
            let state: usize = optimizers.iter().map(Optimizer::state_bytes).sum();
            println!(
                "{count:2} optimizers: {:5.0} MiB more than that, of which {:5.0} MiB are state",
                resident()? - before,
                state as f64 / MIB
            );
        }
    }
    drop(optimizers);
    println!("none left:     {:5.0} MiB more", resident()? - before);
    Ok(())
}

fn new() -> Result<Optimizer<Faer<f32>>> {
    let map = TailShrink { rank_ratio: 0.2, ..TailShrink::PAPER };
    let recipe = Recipe::preset("spectra")?.with_map(SpectralMap::TailShrink(map));
    let specs = SHAPES
        .iter()
        .enumerate()
        .map(|(i, (rows, cols))| ParameterSpec::new(format!("w{i}"), (*rows, *cols), Rule::Spectral));
    Optimizer::new(Faer::new(), Config::new(recipe).lr(0.01), specs)
}

const MIB: f64 = (1 << 20) as f64;

/// Resident memory in MiB.
fn resident() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|e| Error::device("status", e))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0).ok_or_else(|| Error::device("status", "no VmRSS"))
}
