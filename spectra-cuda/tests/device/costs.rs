//! What a step costs: launches, allocations, bytes and waits, of every preset and by the device's own accounts.

use crate::device::{Outcome, backend, check_violations, simulator, stream};
use spectra_core::linalg::uniform;
use spectra_cuda::plan::Plan;
use spectra_cuda::{Config, Method, Optimizer, Parameter, Tally};

/// One matrix of this shape; k = round(0.015 * 104) = 2.
const SHAPE: (usize, usize) = (104, 136);

/// The fourth step of a preset on one matrix: the first two allocate.
fn fourth_step(config: Config) -> Result<Tally, Box<dyn std::error::Error>> {
    let stream = stream()?;
    let (rows, cols) = SHAPE;
    let shapes: [(&str, &[usize]); 1] = [("w", &[rows, cols])];
    let mut optimizer = Optimizer::<f32>::new(backend()?, config, &Plan::builder(), shapes)?;
    let values = |seed: u64| (0..rows * cols).map(|i| uniform(seed, i, 0) as f32).collect::<Vec<_>>();
    let mut weights = stream.clone_htod(&values(1))?;
    let mut last = Tally::default();
    for step in 0..4 {
        let gradient = stream.clone_htod(&values(2 + step))?;
        let simulator = simulator();
        if let Some(simulator) = &simulator {
            simulator.reset();
        }
        let before = optimizer.backend().tally();
        optimizer.step(&mut [Parameter::new(&mut weights, &gradient)])?;
        last = optimizer.backend().tally() - before;
        if let Some(simulator) = simulator {
            let device = simulator.counters();
            let counted = (device.launches + device.products, device.products, device.allocations_total);
            let own = (last.launches, last.products, last.allocations);
            // Every matrix that the host writes is a copy, every scalar that it reads a wait.
            if counted != own || (device.host_waits() > 0) != (last.waits > 0) {
                return Err(format!("step {step}: counted {last:?}, the device {device:?}").into());
            }
            simulator.check()?;
        }
    }
    Ok(last)
}

pub(crate) fn of_every_preset() -> Outcome {
    let words = (SHAPE.0 * SHAPE.1 * size_of::<f32>()) as f64;
    println!("one {} x {} matrix in f32, the fourth step, no finite check, no norm clip", SHAPE.0, SHAPE.1);
    println!(
        "{:18} {:>8} {:>8} {:>11} {:>6} {:>12}",
        "preset", "launches", "products", "allocations", "waits", "bytes / 4 mn"
    );
    for (name, method, _) in Method::presets() {
        let tally = fourth_step(Config::new(method).check_finite(false))?;
        println!(
            "{name:18} {:>8} {:>8} {:>11} {:>6} {:>12.2}",
            tally.launches,
            tally.products,
            tally.allocations,
            tally.waits,
            tally.bytes as f64 / words
        );
        if tally.allocations != 0 {
            return Err(format!("{name}: {} allocations in a step", tally.allocations).into());
        }
        let quiet = matches!(
            name,
            "spectra"
                | "muon"
                | "d-muon"
                | "adamw"
                | "signum"
                | "ademamix"
                | "mars"
                | "sgd-m"
                | "adamw-post-orth"
        );
        if quiet && tally.waits != 0 {
            return Err(format!("{name}: {} waits in a step", tally.waits).into());
        }
        if name == "spectra" {
            let (m, n) = (SHAPE.0 as f64, SHAPE.1 as f64);
            // Thin matrices of k = 2 columns: P, U_1 and U are written and read, m x k each; V, W and the corrected W are
            // n x k: twenty passes over either at most, and 1 KiB of small ones.
            let thin = (20.0 * 2.0 * (m + n) * 4.0 + 1024.0) / words;
            let all = tally.bytes as f64 / words;
            if tally.launches > 12 || all > 8.0 + thin {
                return Err(format!("{name}: {tally:?}, {all} mn words, {thin} of them thin").into());
            }
        }
    }
    check_violations()
}
