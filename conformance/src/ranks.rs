//! Checks of a [`Transport`]: of an engine that connects ranks.

use spectra_core::backend::{Element, Error, Matrix};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::distributed::{Communicator, DistributedOptimizer, Mode, Placing, Reduction, Transport};
use spectra_core::linalg::uniform;
use spectra_core::optimizer::plan::Rule;
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec};
use spectra_core::rules::Rules;

/// What is wrong with a transport.
#[derive(Debug)]
pub struct Wrong(pub String);

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

fn require(ok: bool, what: impl FnOnce() -> String) -> Result<(), Wrong> {
    if ok { Ok(()) } else { Err(Wrong(what())) }
}

/// Checks the group that a transport makes: every rank calls it with its own, at the same time. What one rank finds wrong the others
/// may learn by its leaving.
///
/// Messages of all lengths arrive where they belong; sums have the bits of the sum in the order of the ranks, for small messages and
/// large ones, and those of the transport's own, if it has one, are equal on all ranks and as near as rounding allows; a NaN is not lost; groups can be split; and a
/// model whose matrices are divided, have owners, or are exchanged at low rank, gets the weights of one process. What becomes of ranks that are lost is not checked here: it ends the
/// group, and often the process.
///
/// ```
/// use spectra_conformance::ranks::check_transport;
/// use spectra_core::distributed::{Communicator, Threads};
/// use std::time::Duration;
///
/// let group = Threads::group(3, Duration::from_secs(60));
/// let check = |threads| check_transport(&mut Communicator::new(threads));
/// let ranks: Vec<_> = group.into_iter().map(|threads| std::thread::spawn(move || check(threads))).collect();
/// ranks.into_iter().for_each(|rank| rank.join().unwrap().unwrap());
/// ```
///
/// # Errors
/// What is wrong, in words.
pub fn check_transport<T: Transport>(group: &mut Communicator<T>) -> Result<(), Wrong> {
    require(group.rank() < group.size(), || "the rank is not below the size".into())?;
    messages(group)?;
    gathers(group)?;
    sums::<f32, T>(group)?;
    sums::<f64, T>(group)?;
    let color = group.rank() as u64 % 2;
    let mut part = group.split(color)?;
    let same = |rank: &usize| *rank as u64 % 2 == color;
    let (size, place) = ((0..group.size()).filter(same).count(), (0..group.rank()).filter(same).count());
    require((part.size(), part.rank()) == (size, place), || {
        "a part has another size or order than its ranks".into()
    })?;
    let seen = part.gather_words(&[group.rank() as u64])?;
    let wanted: Vec<_> = (0..group.size()).filter(same).map(|rank| rank as u64).collect();
    require(seen == wanted, || format!("a part of ranks {wanted:?} sees {seen:?}"))?;
    gathers(group)?;
    // The last: it takes the group's connection.
    let mut whole = group.split(0)?;
    training(&mut whole)
}

/// From rank a to b `(3 a + b) mod 5` bytes at first, then a hundred thousand times that.
fn messages<T: Transport>(group: &mut Communicator<T>) -> Result<(), Wrong> {
    let (me, size) = (group.rank(), group.size());
    for times in [1, 100_003] {
        let len = |from: usize, to: usize| (3 * from + to) % 5 * times;
        let byte = |from: usize, to: usize, i: usize| (7 * from + 31 * to + i) as u8;
        let mut wrong = None;
        let mut next = 0;
        group.exchange(
            "check",
            |to, out| out.extend((0..len(me, to)).map(|i| byte(me, to, i))),
            |from| len(from, me),
            |from, got| {
                let right = got.iter().enumerate().all(|(i, x)| *x == byte(from, me, i));
                if !right || got.len() != len(from, me) || from != next {
                    wrong.get_or_insert(from);
                }
                next = from + 1;
            },
        )?;
        require(wrong.is_none() && next == size, || {
            format!("what rank {wrong:?} sends does not arrive as it was")
        })?;
    }
    Ok(())
}

fn gathers<T: Transport>(group: &mut Communicator<T>) -> Result<(), Wrong> {
    let (me, size) = (group.rank() as u64, group.size() as u64);
    let words = group.gather_words(&[me, !me])?;
    let wanted: Vec<_> = (0..size).flat_map(|rank| [rank, !rank]).collect();
    require(words == wanted, || format!("gathered {words:?}, not {wanted:?}"))?;
    for root in 0..group.size() {
        let mut bytes = [me as u8; 11];
        group.broadcast(root, &mut bytes)?;
        require(bytes == [root as u8; 11], || format!("rank {root} broadcasts, {bytes:?} arrives"))?;
        let number = if me as usize == root { f64::NAN } else { 1e300 };
        require(group.max(number)?.is_nan(), || "the largest number drops a NaN".into())?;
    }
    Ok(())
}

/// Numbers of about the same size and all signs, which are rounded when they are added.
fn number<E: Element>(rank: usize, i: usize) -> E {
    E::narrow(uniform(rank as u64 + 17, i, 0) * 3.0)
}

fn sums<E: Element, T: Transport>(group: &mut Communicator<T>) -> Result<(), Wrong> {
    let size = group.size();
    for len in [1, 100, 3 * size, 10_000] {
        let wanted: Vec<E> =
            (0..len).map(|i| (1..size).fold(number::<E>(0, i), |sum, rank| sum + number(rank, i))).collect();
        for reduction in [Reduction::Ordered, Reduction::Fast] {
            group.set_reduction(reduction);
            let mut values: Vec<E> = (0..len).map(|i| number(group.rank(), i)).collect();
            let mut numbers = [group.rank() as f64, 0.1];
            let (left, right) = values.split_at_mut(len / 3);
            group.sum(&mut [left, right], &mut numbers)?;
            let name = E::NAME;
            if reduction == Reduction::Ordered {
                let bits = |x: &E| x.widen().to_bits();
                let equal = values.iter().zip(&wanted).all(|(a, b)| bits(a) == bits(b));
                require(equal, || {
                    format!("{len} numbers in {name} are not summed in the order of the ranks")
                })?;
            }
            // Any order: N - 1 roundings of partial sums of at most 3 N.
            let bound = 3.0 * (size * size) as f64 * E::EPSILON;
            let near = values.iter().zip(&wanted).all(|(a, b)| (a.widen() - b.widen()).abs() <= bound);
            require(near, || format!("sums of {len} numbers in {name}, {reduction:?}, are wrong"))?;
            let ranks = (size * (size - 1) / 2) as f64;
            let near =
                numbers[0] == ranks && (numbers[1] - 0.1 * size as f64).abs() <= 1e-15 * (size * size) as f64;
            require(near, || format!("the numbers beside them are {numbers:?}"))?;
            let mut hash = spectra_core::optimizer::Checksum::new();
            hash.values(&values);
            let hashes = group.gather_words(&[hash.finish()])?;
            require(hashes.iter().all(|hash| *hash == hashes[0]), || {
                format!("sums in {name}, {reduction:?}, have other bits on some ranks")
            })?;
        }
    }
    group.set_reduction(Reduction::Ordered);
    Ok(())
}

const SHAPES: [(&str, (usize, usize), Rule); 3] = [
    ("tall", (13, 6), Rule::Spectral),
    ("wide", (5, 12), Rule::Spectral),
    ("vector", (1, 9), Rule::Elementwise),
];

/// Three steps on `sum (x - target)^2 / 2`, whose gradient is the same on all ranks, against one process. In f64 the weights move by about 0.1 a step, and
/// tail shrink's subspace, or Dion's, adds the ranks' roundings once: far below 1e-10.
fn training<T: Transport>(group: &mut Communicator<T>) -> Result<(), Wrong> {
    let specs = || SHAPES.map(|(name, shape, rule)| ParameterSpec::new(name, shape, rule));
    let start = || SHAPES.map(|(_, (m, n), _)| DenseMatrix::from_fn(m, n, |i, j| uniform(3, i, j)));
    let gradient = |x: &DenseMatrix<f64>| {
        let (m, n) = x.shape();
        DenseMatrix::from_fn(m, n, |i, j| {
            x.values()[i * n + j] - 2.0 * uniform(4, i, j) * 0.5f64.powi(i.min(j) as i32)
        })
    };
    let (shrunk, dion) = (Config::preset("spectra")?.lr(0.1).clip_norm(1.0), Config::preset("dion")?.lr(0.1));
    for (color, mode, config) in
        [(1, Mode::Divided, shrunk), (2, Mode::Owners, shrunk), (3, Mode::LowRank, dion)]
    {
        let mut alone = Optimizer::new(Dense::new(), config, specs())?;
        let mut wanted = start();
        for _ in 0..3 {
            let gradients = wanted.each_ref().map(gradient);
            alone.step(&mut wanted.iter_mut().zip(&gradients).collect::<Vec<_>>())?;
        }
        let part = group.split(color)?;
        let placing = Placing::new(mode);
        let mut optimizer =
            DistributedOptimizer::with_rules(Dense::new(), part, config, specs(), Rules::new(), &placing)?;
        let mut weights = start();
        for _ in 0..3 {
            let gradients = weights.each_ref().map(gradient);
            optimizer.step(&mut weights.iter_mut().zip(gradients.iter().map(Some)).collect::<Vec<_>>())?;
        }
        for ((x, wanted), (name, ..)) in weights.iter().zip(&wanted).zip(SHAPES) {
            let apart =
                x.values().iter().zip(wanted.values()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            require(apart <= 1e-10, || {
                format!("{name}, {mode:?}: the weights are {apart:e} from those of one process")
            })?;
        }
    }
    Ok(())
}
