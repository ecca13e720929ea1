//! What a step of LLaMA-3-8B and 70B sends over 8, 64 and 512 ranks in the ways that there are, from the plan and by formulas; then how long that
//! takes in a model of the machine. **Nothing of that is measured.** And what four threads have sent in a step of Dion, counted.
//!
//! `cargo run --release --bin traffic -- --help`

use clap::Parser;
use spectra_core::backend::Error;
use spectra_core::dense::Dense;
use spectra_core::distributed::{Cost, Machine, Mode, Placement, Placing, Way, traffic};
use spectra_core::optimizer::plan::models::{Decoder, LLAMA3_8B, LLAMA3_70B};
use spectra_core::optimizer::{Config, Optimizer, plan::Plan};
use spectra_examples::{Failure, positive, report};
use std::process::ExitCode;

/// What a step of LLaMA-3-8B and 70B sends, and how long that takes in a model of the machine
#[derive(Parser)]
struct Arguments {
    /// GB/s out of each rank
    #[arg(long, default_value = "50", value_parser = positive, allow_hyphen_values = true)]
    bandwidth: f64,
    /// Microseconds of a round
    #[arg(long, default_value = "10", value_parser = positive, allow_hyphen_values = true)]
    latency: f64,
    /// Tflop/s of a rank
    #[arg(long, default_value = "50", value_parser = positive, allow_hyphen_values = true)]
    rate: f64,
    /// Bytes of a word
    #[arg(long, default_value = "4", value_parser = positive, allow_hyphen_values = true)]
    bytes: f64,
}

impl Arguments {
    fn machine(&self) -> Machine {
        let Self { bandwidth, latency, rate, bytes } = self;
        Machine { latency: latency * 1e-6, bandwidth: bandwidth * 1e9, rate: rate * 1e12, word: *bytes }
    }
}

fn optimizer(model: &Decoder, preset: &str) -> Result<Optimizer<Dense<f32>>, Error> {
    let plan = Plan::builder().build(model.parameters())?;
    Optimizer::new(Dense::new(), Config::preset(preset)?, plan.parameters())
}

/// The placements of one model on so many ranks.
struct Placed {
    divided: Placement,
    all: Placement,
    owners: Placement,
    muon: Placement,
    dion: Placement,
    low_rank: Placement,
}

impl Placed {
    fn new(model: &Decoder, ranks: usize) -> Result<Self, Error> {
        let (spectra, muon) = (optimizer(model, "spectra")?, optimizer(model, "muon")?);
        let dion = optimizer(model, "dion")?;
        Ok(Self {
            divided: Placing::AUTO.place(spectra.work(), ranks)?,
            all: Placing::new(Mode::Divided).place(spectra.work(), ranks)?,
            owners: Placing::new(Mode::Owners).place(spectra.work(), ranks)?,
            muon: Placing::AUTO.place(muon.work(), ranks)?,
            dion: Placing::AUTO.place(dion.work(), ranks)?,
            low_rank: Placing::new(Mode::LowRank).place(dion.work(), ranks)?,
        })
    }

    fn costs(&self) -> [(&'static str, Cost); 11] {
        let Self { divided, all, owners, muon, dion, low_rank } = self;
        [
            ("DDP, every rank steps all", Way::Ddp.cost(divided)),
            ("owners alone", Way::Placed.cost(owners)),
            ("as placed", Way::Placed.cost(divided)),
            ("all divided", Way::Placed.cost(all)),
            ("Dion (r = s / 4), as placed", Way::Placed.cost(dion)),
            ("Dion, low rank", Way::Placed.cost(low_rank)),
            ("FSDP's own, beside the next", Way::Fsdp.cost(divided)),
            ("  tail shrink as placed", Way::FsdpPlaced.cost(divided)),
            ("  tail shrink, gathered", Way::FsdpGathered.cost(divided)),
            ("  Muon, all to all", Way::FsdpAllToAll.cost(muon)),
            ("  Muon, gathered", Way::FsdpGathered.cost(muon)),
        ]
    }
}

fn print_ways(model: &Decoder, machine: &Machine) -> Result<(), Error> {
    println!(
        "{:>5}  {:<28} {:>10} {:>10} {:>6} {:>7} {:>10} {:>9} {:>9} {:>9}",
        "ranks", "way", "M words", "at most", "calls", "rounds", "flops", "send ms", "flop ms", "sum ms"
    );
    for ranks in [8, 64, 512] {
        let placed = Placed::new(model, ranks)?;
        for (way, cost) in placed.costs() {
            let Cost { calls, rounds, flops, .. } = cost;
            let (words, most) = (1e-6 * cost.words, 1e-6 * cost.most_words);
            let (send, compute) = (1e3 * machine.sending(&cost), 1e3 * machine.computing(&cost));
            let sum = send + compute;
            println!(
                "{ranks:>5}  {way:<28} {words:>10.1} {most:>10.1} {calls:>6} {rounds:>7} {flops:>10.2e} {send:>9.2} {compute:>9.2} {sum:>9.2}"
            );
        }
        let live = placed.divided.divisions().iter().flatten();
        let divided = live.clone().filter(|division| division.owner().is_none()).count();
        println!(
            "       {divided} divided, {} owned; largest load over the mean: {:.3}, owners alone {:.3}, Muon {:.3}\n",
            live.count() - divided,
            placed.divided.imbalance(),
            placed.owners.imbalance(),
            placed.muon.imbalance()
        );
    }
    Ok(())
}

fn print(machine: &Machine) -> Result<(), Error> {
    let Machine { latency, bandwidth, rate, word } = machine;
    println!(
        "A model, no measurement: {:.1} us a round, {:.1} GB/s out of a rank, {:.1} Tflop/s, words of {word} bytes; nothing overlaps.\n\
         Words of a rank and step in the mean, and of the rank that sends most; flops of the one that has most. Forward and backward passes\n\
         are not in it.\n",
        1e6 * latency,
        1e-9 * bandwidth,
        1e-12 * rate
    );
    println!("LLaMA-3-8B on 8 ranks, as placed\n{}\n", Placed::new(&LLAMA3_8B, 8)?.divided);
    for (name, model) in [("LLaMA-3-8B", LLAMA3_8B), ("LLaMA-3-70B", LLAMA3_70B)] {
        println!("{name}");
        print_ways(&model, machine)?;
    }
    let (shape, rank, ranks) = ((4096, 4096), 64, 8);
    let (ours, muon) = (traffic::sweep(shape, rank, ranks), traffic::all_to_all(shape, ranks));
    println!(
        "4096 x 4096, k = {rank}, N = {ranks}: tail shrink {ours:.0} words, all-to-all Muon {muon:.0}: 1 : {:.2}",
        muon / ours
    );
    counted::print()?;
    Ok(())
}

/// Words that threads have sent.
mod counted {
    use super::*;
    use spectra_core::dense::DenseMatrix;
    use spectra_core::distributed::{Communicator, DistributedOptimizer, Threads};
    use spectra_core::rules::Rules;
    use std::time::Duration;

    const RANKS: usize = 4;
    const SHAPES: [[usize; 2]; 4] = [[512, 128], [128, 512], [256, 256], [128, 384]];

    /// Bytes that a rank has sent in its second step, and words by the placement.
    fn of_rank(threads: Threads, mode: Mode) -> Result<(u64, f64), Error> {
        let names = (0..).map(|index| format!("layers.{index}.up.weight"));
        let plan = Plan::builder().build(names.zip(SHAPES))?;
        let (group, config) = (Communicator::new(threads), Config::preset("dion")?);
        let (backend, placing) = (Dense::<f32>::new(), Placing::new(mode));
        let mut optimizer = DistributedOptimizer::with_rules(
            backend,
            group,
            config,
            plan.parameters(),
            Rules::new(),
            &placing,
        )?;
        let rank = optimizer.rank();
        let matrix = |seed: usize, [m, n]: [usize; 2]| {
            DenseMatrix::from_fn(m, n, |i, j| ((i * n + j + 1) * (7 + seed) % 101) as f32 / 101.0 - 0.5)
        };
        let mut weights = SHAPES.map(|shape| matrix(0, shape));
        let gradients = SHAPES.map(|shape| matrix(1 + rank, shape));
        let mut before = 0;
        for _ in 0..2 {
            before = optimizer.traffic()?.bytes;
            optimizer.step(&mut weights.iter_mut().zip(gradients.iter().map(Some)).collect::<Vec<_>>())?;
        }
        Ok((optimizer.traffic()?.bytes - before, optimizer.placement().words(rank).total()))
    }

    pub(super) fn print() -> Result<(), Error> {
        println!(
            "\nCounted: Dion on {RANKS} threads, {SHAPES:?}, r = s / 4, words of a rank and step in the mean"
        );
        for (name, mode) in [("owners", Mode::Owners), ("low rank", Mode::LowRank)] {
            let group = Threads::group(RANKS, Duration::from_secs(60)).into_iter();
            let found: Vec<_> = std::thread::scope(|scope| {
                let ranks: Vec<_> =
                    group.map(|threads| scope.spawn(move || of_rank(threads, mode))).collect();
                let join = |rank: std::thread::ScopedJoinHandle<'_, _>| {
                    rank.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                };
                ranks.into_iter().map(join).collect::<Result<_, Error>>()
            })?;
            // Headers, errors and rates: eight words of 64 bits with the gradients, one with the weights.
            let headers = (2 * 9 * (RANKS - 1)) as f64;
            let sent = found.iter().map(|(bytes, _)| *bytes as f64 / 4.0).sum::<f64>() / RANKS as f64;
            let computed = found.iter().map(|(_, words)| words).sum::<f64>() / RANKS as f64;
            println!(
                "{name:<8}  counted {sent:>9.1}, of which headers {headers}; by the placement {computed:>9.1}"
            );
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    report(|| print(&Arguments::parse().machine()).map_err(Failure::run))
}
