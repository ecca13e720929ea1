//! Trains one network by one, two and four ranks, threads of this process, and compares.
//!
//! `cargo run --release --features spectra-guides/candle --example ranks`

use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use candle_core::{DType, Device, Tensor};
use candle_nn::{Module, VarBuilder, VarMap, linear, seq};
use spectra_candle::distributed::{Communicator, Threads};
use spectra_candle::{Config, DistributedOptimizer};
use spectra_examples::Failure;
use spectra_guides::digits::{CLASSES, Digit, PIXELS, batch, columns, digits};
use spectra_guides::{Guide, Program, Run, losses};

/// Of all ranks together; divisible by their number.
const BATCH: usize = 64;

// ANCHOR: rank
/// What each rank does. It returns the losses of its share.
fn train(
    threads: Threads,
    initial: &VarMap,
    digits: &[Digit],
    run: &mut Option<Run>,
    steps: usize,
) -> Outcome {
    let vars = VarMap::new();
    let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
    let model = seq()
        .add(linear(PIXELS, 256, vb.pp("up"))?)
        .add_fn(|x| x.relu())
        .add(linear(256, 256, vb.pp("down"))?)
        .add_fn(|x| x.relu())
        .add(linear(256, CLASSES, vb.pp("head"))?);
    for (name, var) in vars.data().lock().unwrap().iter() {
        var.set(&initial.data().lock().unwrap()[name].copy()?)?; // rank 0 would do: the others get its values
    }
    let config = Config::preset("spectra")?.lr(1e-3);
    let mut optimizer = DistributedOptimizer::from_varmap(&vars, config, Communicator::new(threads))?;
    if optimizer.rank() == 0 {
        println!("{}", optimizer.core().placement()); // who steps what
    }
    let (rank, share) = (optimizer.rank(), BATCH / optimizer.size());
    let mut seen = Vec::new();
    for step in 1..=steps {
        let mine = &batch(digits, BATCH, step)[rank * share..(rank + 1) * share];
        let (pixels, classes) = columns(mine);
        let x = Tensor::from_vec(pixels, (mine.len(), PIXELS), &Device::Cpu)?;
        let loss = candle_nn::loss::cross_entropy(&model.forward(&x)?, &Tensor::new(classes, &Device::Cpu)?)?;
        optimizer.backward_step(&loss)?; // the mean of all ranks' gradients
        let loss = loss.to_scalar::<f32>()?;
        seen.push(loss);
        if let Some(run) = run {
            run.step(step, loss.into())?;
        }
    }
    Ok(seen)
}
// ANCHOR_END: rank

type Outcome = Result<Vec<f32>, Box<dyn Error + Send + Sync>>;

fn run(guide: &Guide) -> Result<(), Box<dyn Error>> {
    let (digits, _) = digits()?;
    let initial = VarMap::new();
    let vb = VarBuilder::from_varmap(&initial, DType::F32, &Device::Cpu);
    for (name, inputs, outputs) in [("up", PIXELS, 256), ("down", 256, 256), ("head", 256, CLASSES)] {
        linear(inputs, outputs, vb.pp(name))?;
    }
    let (mut curves, steps) = (Vec::new(), guide.steps);
    for size in [1, 2, 4] {
        let name = format!("{size} rank{}", if size == 1 { "" } else { "s" });
        // ANCHOR: group
        // A rank that is lost is an error on the others within a minute.
        let group = Threads::group(size, Duration::from_secs(60));
        let ranks: Vec<Outcome> = thread::scope(|scope| {
            let start = |(rank, threads): (usize, Threads)| {
                let (mut run, digits, initial) = ((rank == 0).then(|| guide.run(&name)), &digits, &initial);
                scope.spawn(move || train(threads, initial, digits, &mut run, steps))
            };
            let ranks: Vec<_> = group.into_iter().enumerate().map(start).collect();
            ranks
                .into_iter()
                .map(|rank| rank.join().unwrap_or_else(|_| Err("a rank panicked".into())))
                .collect()
        });
        // ANCHOR_END: group
        let ranks = ranks
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Failure::run(error.to_string()))?;
        let mean = |step: usize| ranks.iter().map(|rank| f64::from(rank[step])).sum::<f64>() / size as f64;
        curves.push((name, (0..steps).map(|step| ((step + 1) as f64, mean(step))).collect::<Vec<_>>()));
    }
    for (name, points) in &curves[1..] {
        let apart = points.iter().zip(&curves[0].1).map(|(a, b)| (a.1 - b.1).abs()).fold(0.0, f64::max);
        println!("{name}: the mean loss differs from that of one rank by at most {apart:.1e}");
    }
    Ok(guide.picture("ranks.png", &[losses("One, two and four ranks: one curve", curves)])?)
}

fn main() -> ExitCode {
    let about = "Trains one network by one, two and four ranks";
    Program { name: "ranks", about, steps: 100, resumes: false }.main(run)
}
