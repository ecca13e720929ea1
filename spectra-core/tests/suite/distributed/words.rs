//! What is sent is what the formulas say.

use super::on_ranks;
use spectra_core::backend::Matrix;
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::distributed::{Axis, DistributedOptimizer, Division, Mode, Placing, Sharded, Traffic};
use spectra_core::linalg::uniform;
use spectra_core::optimizer::plan::Rule;
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec};
use spectra_core::rules::Rules;

const RANKS: usize = 4;

/// Words of header beside a message; each rank's goes to all.
const HEADER: u64 = 8;

fn random(seed: u64, (rows, cols): (usize, usize)) -> DenseMatrix<f32> {
    DenseMatrix::from_fn(rows, cols, |i, j| uniform(seed, i, j) as f32)
}

fn since(before: Traffic, now: Traffic) -> Traffic {
    Traffic {
        calls: now.calls - before.calls,
        rounds: now.rounds - before.rounds,
        bytes: now.bytes - before.bytes,
    }
}

/// What each rank sends in a step after the first.
fn sent(preset: &str, shapes: &[(usize, usize)], mode: Mode, clip: bool) -> Vec<Traffic> {
    on_ranks(RANKS, |rank, group| {
        let name = |(index, shape): (usize, &(usize, usize))| {
            ParameterSpec::new(format!("layers.{index}.weight"), *shape, Rule::Spectral)
        };
        let specs: Vec<_> = shapes.iter().enumerate().map(name).collect();
        let config = Config::preset(preset).unwrap();
        let config = if clip { config.clip_norm(1.0) } else { config };
        let placing = Placing::new(mode);
        let mut optimizer =
            DistributedOptimizer::with_rules(Dense::new(), group, config, specs, Rules::new(), &placing)
                .unwrap();
        let mut weights: Vec<_> = (0..).zip(shapes).map(|(seed, shape)| random(seed, *shape)).collect();
        let mut before = Traffic::default();
        for step in 0..3 {
            before = optimizer.traffic().unwrap();
            let gradients: Vec<_> = (100 * step + 10 * rank as u64..)
                .zip(shapes)
                .map(|(seed, shape)| random(seed, *shape))
                .collect();
            let mut pairs: Vec<_> = weights.iter_mut().zip(gradients.iter().map(Some)).collect();
            optimizer.step(&mut pairs).unwrap();
        }
        let traffic = since(before, optimizer.traffic().unwrap());
        assert_eq!(traffic.calls as usize, optimizer.placement().collectives() + usize::from(clip));
        // What the plan says, and headers; sums of up to 8 KiB are gathered, N / 2 times a ring's words.
        let words = optimizer.placement().words(rank);
        let headers = (RANKS as u64 - 1) * (2 * HEADER + 2 + if clip { 2 } else { 0 });
        let (least, slack) = (4.0 * (words.total() + headers as f64), 16.0 * RANKS as f64);
        let most = least + 4.0 * words.sums * (RANKS as f64 / 2.0 - 1.0);
        let bytes = traffic.bytes as f64;
        assert!(bytes + slack >= least && bytes <= most + slack, "{bytes}, not {least} to {most}");
        traffic
    })
}

/// Rows divided: `2 (nk + k^2 + 1) f` words for the sums (`||M||^2` has two), whatever the number of matrices in one call; the gradient goes
/// to the owners of its rows and the weights back, `mn f` each.
#[test]
fn rows() {
    let shape = (640, 512);
    let (m, n, k) = (640, 512, 8);
    for count in [1, 3] {
        let traffic = sent("spectra", &vec![shape; count], Mode::Divided, false);
        let others = RANKS as u64 - 1;
        let gradients = count as u64 * m * n * others / RANKS as u64;
        let sums = 2 * count as u64 * (n * k + k * k + 2) * others / RANKS as u64;
        let headers = others * (2 * HEADER + 2);
        let wanted = 4 * (2 * gradients + sums + headers);
        for traffic in traffic {
            // Parts of a sum are whole numbers: off by less than a word for each rank and kind.
            assert!(
                traffic.bytes.abs_diff(wanted) <= 16 * RANKS as u64,
                "{count}: {traffic:?}, not {wanted}"
            );
            assert_eq!(traffic.calls, 3, "{count}");
        }
    }
}

/// Columns divided: `[M V | ||M||^2]` and `[W^T W]`, `mk + k^2 + 1` words with m the shorter side.
#[test]
fn columns() {
    let shapes = [(96, 256), (128, 1024), (96, 256)];
    let traffic = sent("spectra", &shapes, Mode::Divided, true);
    let others = RANKS as u64 - 1;
    let entries: u64 = shapes.iter().map(|(m, n)| (m * n) as u64).sum();
    let of = |m: u64, k: u64| m * k + k * k + 2;
    let sums = 2 * (2 * of(96, 1) + of(128, 2)) * others / RANKS as u64;
    let headers = others * (2 * HEADER + 2);
    // The sum of the norm is small: gathered by all.
    let wanted = 4 * (2 * entries * others / RANKS as u64 + sums + headers + 2 * others);
    for traffic in traffic {
        let slack = 16 * RANKS as u64;
        // Small sums are gathered: at most N / 2 times the ring's words.
        let most = wanted + 4 * sums * (RANKS as u64 / 2);
        assert!(
            traffic.bytes + slack >= wanted && traffic.bytes <= most + slack,
            "{traffic:?}, not {wanted}"
        );
        assert_eq!(traffic.calls, 5);
    }
}

/// Owners: `mn f` for the gradients and `mn f` for the weights, and no sum.
#[test]
fn owners() {
    let shapes = [(64, 32); 2 * RANKS];
    let others = RANKS as u64 - 1;
    let entries = (2 * RANKS * 64 * 32) as u64;
    let headers = others * (2 * HEADER + 2);
    let wanted = 4 * (2 * entries * others / RANKS as u64 + headers);
    for traffic in sent("spectra", &shapes, Mode::Owners, false) {
        assert_eq!((traffic.bytes, traffic.calls), (wanted, 2));
    }
}

/// Dion at low rank: `2 (m + n) r f` words for P and R of all matrices, in two calls, in the place of gradients and weights.
#[test]
fn low_rank() {
    let (m, n, r) = (256, 128, 32);
    for count in [1, 3] {
        let sums = 2 * count as u64 * (m + n) * r * 3 / 4;
        let headers = 3 * (2 * HEADER + 2);
        for traffic in sent("dion", &vec![(m as usize, n as usize); count], Mode::LowRank, false) {
            // A sum of more than 8 KiB takes two rounds.
            assert_eq!(traffic, Traffic { calls: 4, rounds: 6, bytes: 4 * (sums + headers) });
        }
    }
}

/// Gradients and weights that are divided already: the sums are all that is sent, with one call for the norm of all gradients.
#[test]
fn weights_that_stay_divided() {
    let shape = (256, 96);
    let traffic = on_ranks(RANKS, |rank, group| {
        let backend = Sharded::new(Dense::<f32>::new(), group);
        let division = Division::even(shape, Axis::Rows, RANKS);
        let part = |seed: u64| {
            let whole = random(seed, shape);
            let rows = division.range(rank);
            let values = &whole.values()[rows.start * shape.1..rows.end * shape.1];
            let part = DenseMatrix::from_fn(rows.len(), shape.1, |i, j| values[i * shape.1 + j]);
            backend.divided(shape, Axis::Rows, part).unwrap()
        };
        let specs = ["a", "b", "c"].map(|name| ParameterSpec::new(name, shape, Rule::Spectral));
        let config = Config::preset("spectra").unwrap();
        let mut optimizer = Optimizer::new(backend.clone(), config, specs).unwrap();
        let mut weights: Vec<_> = (0..3).map(part).collect();
        let mut before = Traffic::default();
        for step in 1..4 {
            before = backend.with_group(|group| Ok(group.traffic())).unwrap();
            let gradients: Vec<_> = (10 * step..10 * step + 3).map(part).collect();
            optimizer.step(&mut weights.iter_mut().zip(&gradients).collect::<Vec<_>>()).unwrap();
        }
        let mut values = vec![0.0; shape.0 * shape.1];
        weights[0].read(&mut values).unwrap();
        let now = backend.with_group(|group| Ok(group.traffic())).unwrap();
        let whole = shape.0 * shape.1 / RANKS * (RANKS - 1);
        let mut sent = since(before, now);
        sent.bytes -= 4 * whole as u64;
        sent.calls -= 1;
        (sent, values)
    });
    let others = RANKS as u64 - 1;
    let sums = 2 * 3 * (96 + 1 + 2) * others / RANKS as u64;
    for (sent, values) in &traffic {
        let wanted = 4 * sums;
        // The norm of the gradients: two words to each other rank; and sums of less than 8 KiB are gathered.
        assert!(sent.bytes <= 4 * (3 * 99 * others + 2 * others), "{sent:?}, not {wanted}");
        assert_eq!(sent.calls, 2);
        assert!(*values == traffic[0].1);
    }
}
