//! `--model`: a step of a whole published model, by what the time goes to.

mod history;
mod parts;
mod timed;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use spectra_core::backend::Result;
use spectra_core::faer::{FaerElement, FaerMatrix};
use spectra_core::linalg::uniform;
use spectra_core::optimizer::{Config, Optimizer};
use spectra_examples::pictures::{Bar, bars};
use spectra_examples::{Failure, Folder};

use crate::machine;
pub(crate) use history::picture as history;
pub(crate) use parts::Model;
use parts::Part;
use timed::{KINDS, Timed, TimedMatrix};

/// Measured where `--only` names none.
const PRESETS: [&str; 6] = ["adamw", "signum", "spectra", "dion", "muon", "spectra-adamw"];
/// Of the memory that is free, so much may be weights, gradients and state; temporaries take the rest.
const SHARE: f64 = 0.75;
/// Longer than so many seconds, a step is measured once.
const LONG: f64 = 2.0;

/// What was measured of a preset, the parts added up.
#[derive(Clone, Debug, Default)]
struct Cost {
    preset: String,
    seconds: f64,
    kinds: [f64; KINDS.len()],
    state: usize,
    /// Of the part that takes most; 0: the system does not tell.
    peak: u64,
    /// Parts that did not fit into memory.
    left_out: Vec<String>,
}

/// Measures, prints and writes the tables and the picture.
pub(crate) fn run<E: FaerElement>(
    out: &Folder,
    model: Model,
    only: &[String],
    record: Option<&Path>,
) -> std::result::Result<(), Failure> {
    let presets: Vec<&str> =
        if only.is_empty() { PRESETS.to_vec() } else { only.iter().map(String::as_str).collect() };
    let configs = presets.iter().map(|preset| Config::preset(preset)).collect::<Result<Vec<_>>>();
    let configs = configs.map_err(Failure::run)?;
    let plan = parts::plan(model).map_err(Failure::run)?;
    let memory = machine::free_memory().unwrap_or(f64::INFINITY) * SHARE / size_of::<E>() as f64;
    let fits = |part: &Part| configs.iter().all(|config| part.needs(config) as f64 <= memory);
    let whole = Part::whole(&plan);
    let parts = if fits(&whole[0]) { whole } else { Part::layers(&plan) };
    let name = model.name();
    out.write(&format!("{name}.blocks.csv"), Part::csv(&parts).as_bytes())?;

    let mut costs: Vec<Cost> =
        presets.iter().map(|preset| Cost { preset: (*preset).into(), ..Cost::default() }).collect();
    let bar = progress(parts.len() * presets.len());
    for part in &parts {
        let mut measurement = Measurement::<E>::new(part);
        for (config, cost) in configs.iter().zip(&mut costs) {
            bar.set_message(format!("{} of {}", cost.preset, part.name));
            if part.needs(config) as f64 > memory {
                cost.left_out.push(part.name.clone());
            } else {
                measurement.add(part, config, cost).map_err(Failure::run)?;
            }
            bar.inc(1);
            if bar.is_hidden() {
                eprintln!(
                    "{} of {} measured, {} of {}",
                    cost.preset,
                    part.name,
                    bar.position(),
                    bar.length().unwrap_or(0)
                );
            }
        }
    }
    bar.finish_and_clear();
    let text = table::<E>(&name, &parts, &costs);
    println!("{text}");
    out.write(&format!("{name}.txt"), text.as_bytes())?;
    out.write(&format!("{name}.csv"), csv(&costs).as_bytes())?;
    let picture = costs.iter().map(|cost| Bar {
        name: format!("{}: {:.0} ms", cost.preset, cost.seconds * 1e3),
        parts: cost.kinds.map(|seconds| 100.0 * seconds / cost.kinds.iter().sum::<f64>()).to_vec(),
    });
    let title = format!("A step of {name}: percent of the time");
    out.write(&format!("{name}.png"), &bars(&title, &KINDS, &picture.collect::<Vec<_>>())?)?;
    if let Some(file) = record {
        history::append(file, &name, E::NAME, &costs)?;
    }
    println!("Tables and picture: {}", out.path().display());
    Ok(())
}

fn progress(steps: usize) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}, {eta} left") {
        bar.set_style(style);
    }
    bar
}

/// Weights and gradients of a part.
struct Measurement<E> {
    backend: Timed<E>,
    weights: Vec<TimedMatrix<E>>,
    gradients: Vec<TimedMatrix<E>>,
}

impl<E: FaerElement> Measurement<E> {
    fn new(part: &Part) -> Self {
        let backend = Timed::new();
        let random = |seed: u64| {
            let matrix = |(at, (rows, cols)): (usize, (usize, usize))| {
                let seed = seed + 2 * at as u64;
                backend.matrix(FaerMatrix::from_fn(rows, cols, |i, j| E::narrow(uniform(seed, i, j))))
            };
            part.blocks.iter().map(|block| (block.rows, block.cols)).enumerate().map(matrix).collect()
        };
        let (weights, gradients) = (random(1), random(2));
        Self { backend, weights, gradients }
    }

    /// Steps the part under `config`.
    fn add(&mut self, part: &Part, config: &Config, cost: &mut Cost) -> Result<()> {
        machine::reset_peak();
        let Self { backend, weights, gradients } = self;
        let mut optimizer = Optimizer::new(backend.clone(), *config, part.blocks.iter().cloned())?;
        let mut step = |side_by_side: bool| {
            let mut pairs: Vec<_> = weights.iter_mut().zip(gradients.iter()).collect();
            let start = Instant::now();
            match side_by_side {
                true => optimizer.par_step(&mut pairs)?,
                false => optimizer.step(&mut pairs)?,
            }
            Ok(start.elapsed().as_secs_f64())
        };
        step(true)?;
        let mut seconds = step(true)?;
        for _ in 0..if seconds > LONG { 0 } else { 3 } {
            seconds = seconds.min(step(true)?);
        }
        // What it consists of, of a step whose calls come one after the other.
        backend.clock.take();
        let one_by_one = step(false)?;
        let kinds = backend.clock.take();
        let rest = (one_by_one - kinds.iter().sum::<f64>()).max(0.0);
        let times = part.times as f64;
        for (sum, kind) in cost.kinds.iter_mut().zip(kinds.into_iter().chain([rest])) {
            *sum += times * kind;
        }
        cost.seconds += times * seconds;
        cost.state += part.times * optimizer.state_bytes();
        cost.peak = cost.peak.max(machine::peak().unwrap_or(0));
        Ok(())
    }
}

fn table<E: FaerElement>(name: &str, parts: &[Part], costs: &[Cost]) -> String {
    let numbers: usize = parts.iter().map(|part| part.times * part.numbers()).sum();
    let mut text = format!(
        "a step of {name}: {numbers} numbers, {}, {} threads, {}",
        E::NAME,
        rayon::current_num_threads(),
        machine::cpu()
    );
    for part in parts.iter().filter(|_| parts.len() > 1) {
        let _ = write!(text, "\n  {} x {}: {} numbers", part.times, part.name, part.numbers());
    }
    let titles = ["ms", "/ adamw", "state MB", "peak MB"];
    let [ms, ratio, state, peak] = titles;
    let _ = write!(text, "\n{:20}{ms:>12}{ratio:>9}{state:>11}{peak:>10}", "preset");
    for kind in KINDS {
        let _ = write!(text, "{kind:>11}");
    }
    let adamw = costs.iter().find(|cost| cost.preset == "adamw").map_or(f64::NAN, |cost| cost.seconds);
    for cost in costs {
        let megabytes = |bytes: f64| bytes / 1e6;
        let _ = write!(
            text,
            "\n{:20}{:>12.1}{:>9.2}{:>11.0}{:>10.0}",
            cost.preset,
            cost.seconds * 1e3,
            cost.seconds / adamw,
            megabytes(cost.state as f64),
            megabytes(cost.peak as f64)
        );
        for kind in cost.kinds {
            let _ = write!(text, "{:>10.1}%", 100.0 * kind / cost.kinds.iter().sum::<f64>());
        }
        for part in &cost.left_out {
            let _ = write!(text, "  without {part}, which does not fit into memory");
        }
    }
    text + "\n"
}

fn csv(costs: &[Cost]) -> String {
    let mut text = format!("preset,milliseconds,state_bytes,peak_bytes,{}\n", KINDS.join(","));
    for cost in costs {
        let _ = write!(text, "{},{:.3},{},{}", cost.preset, cost.seconds * 1e3, cost.state, cost.peak);
        for kind in cost.kinds {
            let _ = write!(text, ",{:.3}", kind * 1e3);
        }
        text.push('\n');
    }
    text
}
