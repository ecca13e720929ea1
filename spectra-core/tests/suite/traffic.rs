//! Formulas of traffic and cost against numbers computed by hand.

use spectra_core::backend::Error;
use spectra_core::dense::Dense;
use spectra_core::distributed::{Cost, Machine, Mode, Placement, Placing, Way, Work, traffic};
use spectra_core::optimizer::plan::{Plan, models::LLAMA3_8B};
use spectra_core::optimizer::{Config, Optimizer};
use spectra_core::rules::Sharding;

type Result<T = ()> = core::result::Result<T, Error>;

const SQUARE: (usize, usize) = (4096, 4096);

/// All words are multiples of 1/8, so that every number is exact.
#[test]
fn words_of_one_matrix() {
    // 4096^2 = 16,777,216 at N = 8, f = 7/8.
    assert_eq!(traffic::ddp(SQUARE, 8), 29_360_128.0);
    assert_eq!(traffic::owners(SQUARE, 8), 29_360_128.0);
    assert_eq!(traffic::fsdp(SQUARE, 8), 44_040_192.0);
    assert_eq!(traffic::all_to_all(SQUARE, 8), 3_670_016.0);
    assert_eq!(traffic::gathered(SQUARE, 8), 14_680_064.0);
    // 64 * 4096 + 64^2 + 1 = 266,241.
    assert_eq!(traffic::summed(SQUARE, 64), 266_241.0);
    assert_eq!(traffic::sweep(SQUARE, 64, 8), 465_921.75);
    assert_eq!(traffic::divided(SQUARE, 64, 3, 8), 29_360_128.0 + 3.0 * 465_921.75);
    // 2 * 8192 * 64 * 7/8.
    assert_eq!(traffic::low_rank(SQUARE, 64, 8), 917_504.0);
    // The shorter side of either form: 10 * 3 + 9 + 1.
    assert_eq!((traffic::summed((10, 40), 3), traffic::summed((40, 10), 3)), (40.0, 40.0));
    for words in [traffic::ddp, traffic::owners, traffic::fsdp, traffic::all_to_all, traffic::gathered] {
        assert_eq!(words(SQUARE, 1), 0.0);
    }
}

/// The crossover is where a sweep without its norm, `2 (nk + k^2) f`, and all-to-all's `2 mn f / N` are equal.
#[test]
fn the_crossover_is_where_both_send_the_same() {
    let rounded = |shape, rank| traffic::crossover(shape, rank, 1).round();
    let known = [(SQUARE, 16, 255.0), (SQUARE, 64, 63.0), (SQUARE, 256, 15.0), ((16384, 4096), 64, 252.0)];
    for (shape, rank, crossover) in known {
        assert_eq!(rounded(shape, rank), crossover, "{shape:?} {rank}");
        assert_eq!(rounded((shape.1, shape.0), rank), crossover);
        let (at, above) = (crossover as usize - 1, crossover as usize + 1);
        assert!(traffic::sweep(shape, rank, at) < traffic::all_to_all(shape, at));
        assert!(traffic::sweep(shape, rank, above) > traffic::all_to_all(shape, above));
    }
    assert_eq!(traffic::crossover(SQUARE, 64, 2), traffic::crossover(SQUARE, 64, 1) / 2.0);
}

/// The goal: at most a seventh of all-to-all Muon's words for 4096^2, k = 64, N = 8.
#[test]
fn tail_shrink_sends_a_seventh_of_muon() -> Result {
    let work = |sharding| Work {
        name: "w".into(),
        shape: SQUARE,
        rule: "rule".into(),
        flops: 6.0 * 64.0 * 4096.0 * 4096.0,
        sharding,
        is_live: true,
    };
    let words = |sharding, way: Way| -> Result<f64> {
        Ok(way.cost(&Placing::AUTO.place(vec![work(sharding)], 8)?).words)
    };
    let ours = words(Some(Sharding::Sweeps { rank: 64, sweeps: 1 }), Way::FsdpPlaced)?;
    let muon = words(None, Way::FsdpAllToAll)?;
    assert_eq!((ours, muon), (465_921.75, 3_670_016.0));
    assert!(7.0 * ours <= muon);
    Ok(())
}

fn placed(preset: &str, shapes: &[(&str, &[usize])], mode: Mode, ranks: usize) -> Result<Placement> {
    let plan = Plan::builder().build(shapes.iter().copied())?;
    let optimizer = Optimizer::new(Dense::<f32>::new(), Config::preset(preset)?, plan.parameters())?;
    Placing::new(mode).place(optimizer.work(), ranks)
}

/// One 8 x 4 matrix with k = 1 and an 8-vector under Adam: 32 and 8 words, `320 + 192` and 80 flops; N = 4, f = 3/4.
#[test]
fn every_way_of_a_small_model() -> Result {
    let shapes: [(&str, &[usize]); 2] = [("up.weight", &[8, 4]), ("norm.weight", &[8])];
    let divided = placed("spectra", &shapes, Mode::Divided, 4)?;
    let cost = |calls, rounds, words, flops| Cost { calls, rounds, words, most_words: words, flops };
    assert_eq!(Way::Ddp.cost(&divided), cost(1, 4, 60.0, 592.0));
    // A sweep sums 4 + 1 + 1 words: 2 * 6 * 3/4 = 9.
    assert_eq!(Way::Placed.cost(&divided), cost(3, 8, 60.0 + 9.0, 148.0));
    assert_eq!(Way::Fsdp.cost(&divided), cost(3, 6, 90.0, 0.0));
    assert_eq!(Way::FsdpPlaced.cost(&divided), cost(1, 4, 9.0, 148.0));
    // 2 * 32 * 3/4 / 4.
    assert_eq!(Way::FsdpAllToAll.cost(&divided), cost(2, 4, 12.0, 148.0));
    // The vector's 80 flops are divided, the matrix's are not.
    assert_eq!(Way::FsdpGathered.cost(&divided), cost(1, 2, 24.0, 512.0 + 20.0));

    // Owners, of three ranks in rounds of two: the first has the matrix and sends it to two others, and the gradient of 8.
    let owned = placed("spectra", &shapes, Mode::Owners, 3)?;
    let sent = Cost { most_words: 8.0 + 64.0, ..cost(2, 4, 2.0 * 40.0 * 2.0 / 3.0, 512.0) };
    assert_eq!(Way::Placed.cost(&owned), sent);
    assert_eq!(Way::FsdpPlaced.cost(&owned), cost(2, 4, 2.0 * 32.0 * (2.0 / 3.0) / 3.0, 512.0));

    for way in [Way::Ddp, Way::Placed, Way::Fsdp, Way::FsdpPlaced, Way::FsdpAllToAll, Way::FsdpGathered] {
        let alone = way.cost(&placed("spectra", &shapes, Mode::Auto, 1)?);
        assert_eq!((alone.calls, alone.rounds, alone.words), (0, 0, 0.0), "{way:?}");
    }
    Ok(())
}

#[test]
fn seconds_of_a_machine() {
    let machine = Machine { latency: 0.5, bandwidth: 100.0, rate: 10.0, word: 4.0 };
    let cost = Cost { calls: 1, rounds: 4, words: 50.0, most_words: 75.0, flops: 20.0 };
    assert_eq!((machine.sending(&cost), machine.computing(&cost)), (2.0 + 3.0, 2.0));
}

/// LLaMA-3-8B: collectives do not depend on the number of matrices, and up to 64 ranks no rank is idle.
#[test]
fn a_large_model_takes_four_collectives() -> Result {
    let plan = Plan::builder().build(LLAMA3_8B.parameters())?;
    let optimizer = Optimizer::new(Dense::<f32>::new(), Config::preset("spectra")?, plan.parameters())?;
    for ranks in [8, 64] {
        let placement = Placing::AUTO.place(optimizer.work(), ranks)?;
        assert_eq!(placement.collectives(), 4);
        // Norms alone have owners, each 40,960 flops: no load is above the mean by more than one of them.
        let mean = placement.loads().iter().sum::<f64>() / ranks as f64;
        assert!(placement.imbalance() <= 1.0 + 40_960.0 / mean, "{ranks} {}", placement.imbalance());
        let entries = 8_030_261_248.0;
        let mean: f64 = (0..ranks).map(|rank| placement.words(rank).total()).sum::<f64>() / ranks as f64;
        let sums = placement.words(0).sums;
        // Of sums of 291 terms.
        let exact = 2.0 * entries * (ranks - 1) as f64 / ranks as f64 + sums;
        assert!((mean - exact).abs() < 1e-12 * exact);
        // Little beside what data-parallel training sends in any case.
        assert!(sums > 0.0 && sums < 0.01 * exact, "{}", sums / exact);
    }
    Ok(())
}

/// What a group counts is what the formulas say: gradients to the byte, the sums of a sweep in the mean over the ranks.
#[cfg(feature = "threads")]
#[test]
fn counted_words_are_the_formulas() -> Result {
    use spectra_core::dense::DenseMatrix;
    use spectra_core::distributed::{Collectives, Communicator, Reduce, Threads};
    use std::time::Duration;

    // Uneven: 301 rows, 8 columns of more; more than 8 KiB in a sweep: k = round(0.6 * 60) = 36, 60 k + k^2 = 3456 words.
    let shapes: [(&str, &[usize]); 3] =
        [("up.weight", &[301, 60]), ("down.weight", &[60, 308]), ("norm.weight", &[61])];
    let plan = Plan::builder().build(shapes)?;
    let config = Config::preset("spectra")?.rank_ratio(0.6);
    let optimizer = Optimizer::new(Dense::<f32>::new(), config, plan.parameters())?;
    for ranks in [2, 3, 4, 7] {
        let placement = Placing::new(Mode::Divided).place(optimizer.work(), ranks)?;
        let zeros = |(m, n): (usize, usize)| DenseMatrix::<f32>::from_fn(m, n, |_, _| 0.0);
        let run = |rank: usize, threads: Threads| -> Result<(u64, u64)> {
            let mut group = Communicator::new(threads);
            let divisions: Vec<_> = placement.divisions().iter().flatten().collect();
            let wholes: Vec<_> = divisions.iter().map(|division| zeros(division.shape())).collect();
            let mut parts: Vec<_> = divisions.iter().map(|division| zeros(division.part(rank))).collect();
            let mut pieces: Vec<Reduce<'_, Dense<f32>>> = Vec::new();
            for ((whole, part), division) in wholes.iter().zip(&mut parts).zip(divisions) {
                pieces.push(Reduce { whole, part, division });
            }
            Collectives::<Dense<f32>>::reduce(&mut group, &[], 1.0, &mut pieces)?;
            let gradients = group.traffic().bytes;
            let (mut gram, mut z, mut norm) = (zeros((36, 36)), zeros((60, 36)), 0.0);
            let matrices = &mut [&mut gram, &mut z];
            Collectives::<Dense<f32>>::sum(&mut group, &Dense::new(), matrices, &mut [&mut norm])?;
            Ok((gradients, group.traffic().bytes - gradients))
        };
        let counted: Vec<_> = std::thread::scope(|scope| {
            let run = &run;
            let group = Threads::group(ranks, Duration::from_secs(60)).into_iter().enumerate();
            let threads: Vec<_> =
                group.map(|(rank, threads)| scope.spawn(move || run(rank, threads))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no rank panics")).collect::<Result<_>>()
        })?;
        let mut sums = 0;
        for (rank, (gradients, sum)) in counted.into_iter().enumerate() {
            assert_eq!(gradients as f64, 4.0 * placement.words(rank).gradients, "rank {rank} of {ranks}");
            sums += sum;
        }
        // The norm is a word of eight bytes.
        let words = traffic::sweep((301, 60), 36, ranks) + 2.0 * (ranks - 1) as f64 / ranks as f64;
        let of_all = 4.0 * words * ranks as f64;
        assert!((sums as f64 - of_all).abs() < 1e-9 * of_all, "{ranks}: {sums} {of_all}");
    }
    Ok(())
}
