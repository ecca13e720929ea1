//! What holds while nothing fails, for any number of ranks.

use crate::rank::say;
use spectra_core::distributed::{Communicator, Reduction, Threads, Traffic, Transport};
use spectra_mpi::{InitError, Mpi};
use std::process::Output;
use std::time::Duration;

/// Longer than the limit of the test: whoever meets it has hung.
const DEADLINE: Duration = Duration::from_secs(600);

/// All ranks say so, and the program ends well.
pub(crate) fn hold(done: &Output, said: &[String]) -> Result<(), String> {
    let all =
        said.iter().enumerate().all(|(rank, said)| *said == format!("rank {rank} of {}", said_by(said)));
    match done.status.success() && all && said.iter().all(|s| said_by(s) == said.len()) {
        true => Ok(()),
        false => Err("a claim does not hold".into()),
    }
}

fn said_by(said: &str) -> usize {
    said.rsplit(' ').next().and_then(|size| size.parse().ok()).unwrap_or(0)
}

pub(crate) fn run() {
    let mut mpi = Mpi::init(DEADLINE).unwrap();
    assert_eq!(Mpi::init(DEADLINE).unwrap_err(), InitError::AlreadyInitialized);
    let (rank, size) = (mpi.rank(), mpi.size());
    messages(&mut mpi);
    let mut group = Communicator::new(mpi);
    sums(&mut group);
    numbers(&mut group);
    parts(&mut group);
    fast(group.split(0).unwrap(), false);
    fast(group, true);
    say(rank, &format!("rank {rank} of {size}"));
}

/// A number that is rounded when it is added.
fn number(rank: usize, i: usize) -> f32 {
    ((rank * 7919 + i * 104_729) % 10_007) as f32 / 3.0 - 1500.0
}

/// Of another length from each to each, some empty, some too long to be sent before they are asked for.
fn messages(mpi: &mut Mpi) {
    let (rank, size) = (mpi.rank(), mpi.size());
    let message = |from: usize, to: usize, round: usize| {
        let len = [0, 1, 77, 300_000][(from + 2 * to + round) % 4] + from;
        (0..len).map(|i| (i * 31 + 7 * from + to + round) as u8).collect::<Vec<_>>()
    };
    for round in 0..8 {
        let out: Vec<_> = (0..size).map(|to| message(rank, to, round)).collect();
        let mut into: Vec<_> = (0..size).map(|from| vec![0; message(from, rank, round).len()]).collect();
        let sent: Vec<_> = out.iter().map(Vec::as_slice).collect();
        mpi.exchange(&sent, &mut into.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>()).unwrap();
        (0..size).for_each(|from| assert_eq!(into[from], message(from, rank, round), "{from} to {rank}"));
    }
}

type Sums = ([Vec<f32>; 3], [f64; 2], Traffic);

fn sum<T: Transport>(group: &mut Communicator<T>, lens: [usize; 3]) -> Sums {
    let rank = group.rank();
    let mut lists = lens.map(|len| (0..len).map(|i| number(rank, i + len)).collect::<Vec<_>>());
    let mut numbers = [rank as f64 / 3.0, f64::from_bits(0x3ff0_0000_0000_0001 + rank as u64)];
    group.sum(&mut lists.each_mut().map(Vec::as_mut_slice), &mut numbers).unwrap();
    (lists, numbers, group.traffic())
}

/// The same bits, and the same traffic, as the sums of threads.
fn sums(group: &mut Communicator<Mpi>) {
    for lens in [[0, 0, 1], [3, 0, 2], [5, 2000, 41], [4000, 17, 3], [0, 100_000, 1]] {
        let before = group.traffic();
        let (lists, numbers, after) = sum(group, lens);
        let of_threads = std::thread::scope(|scope| {
            let ranks = Threads::group(group.size(), DEADLINE).into_iter();
            let started: Vec<_> =
                ranks.map(|t| scope.spawn(move || sum(&mut Communicator::new(t), lens))).collect();
            let mut sums: Vec<_> = started.into_iter().map(|rank| rank.join().unwrap()).collect();
            sums.swap_remove(group.rank())
        });
        let bits = |lists: &[Vec<f32>; 3]| lists.concat().into_iter().map(f32::to_bits).collect::<Vec<_>>();
        assert!(bits(&lists) == bits(&of_threads.0) && numbers == of_threads.1, "{lens:?}");
        let sent = Traffic {
            calls: after.calls - before.calls,
            rounds: after.rounds - before.rounds,
            bytes: after.bytes - before.bytes,
        };
        assert_eq!(sent, of_threads.2);
    }
}

/// The largest is NaN if one is; words and bytes come from where they should.
fn numbers(group: &mut Communicator<Mpi>) {
    let (rank, size) = (group.rank(), group.size());
    for at in 0..size {
        let mine = if rank == at { f64::NAN } else { rank as f64 };
        assert!(group.max(mine).unwrap().is_nan());
    }
    assert_eq!(group.max(-(rank as f64)).unwrap(), 0.0);
    let wanted: Vec<u64> = (0..size as u64).flat_map(|rank| [rank, u64::MAX]).collect();
    assert_eq!(group.gather_words(&[rank as u64, u64::MAX]).unwrap(), wanted);
    for root in 0..size {
        let mut bytes = [rank as u8; 5];
        group.broadcast(root, &mut bytes).unwrap();
        assert_eq!(bytes, [root as u8; 5]);
    }
}

/// Groups by color, groups of groups, and all of them in turn: none takes another's messages.
fn parts(group: &mut Communicator<Mpi>) {
    let (rank, size) = (group.rank(), group.size());
    let mut part = group.split(rank as u64 % 2).unwrap();
    let mut again = group.split(u64::MAX).unwrap();
    let mut alone = part.split(rank as u64).unwrap();
    let same: Vec<u64> = (0..size as u64).filter(|other| other % 2 == rank as u64 % 2).collect();
    assert_eq!((part.rank(), alone.rank()), (rank / 2, 0));
    for round in 0..10 {
        let word = [rank as u64 + 10 * round];
        let wanted = |ranks: &[u64]| ranks.iter().map(|rank| rank + 10 * round).collect::<Vec<_>>();
        assert_eq!(part.gather_words(&word).unwrap(), wanted(&same));
        assert_eq!(again.gather_words(&word).unwrap(), wanted(&(0..size as u64).collect::<Vec<_>>()));
        assert_eq!(alone.gather_words(&word).unwrap(), word);
        assert_eq!(group.gather_words(&word).unwrap(), wanted(&(0..size as u64).collect::<Vec<_>>()));
    }
}

/// MPI's own sum: the same bits on all ranks, in one round; a part of the ranks has none, and sums in order.
fn fast(group: Communicator<Mpi>, of_mpi: bool) {
    let mut group = group.reduction(Reduction::Fast);
    let size = group.size();
    for len in [1, 100, 10_000, 100_000] {
        let before = group.traffic().rounds;
        let (lists, numbers, traffic) = sum(&mut group, [0, len, 2]);
        if size > 2 && len >= 10_000 {
            assert_eq!(traffic.rounds - before, if of_mpi { 1 } else { 2 });
        }
        for (i, x) in lists[1].iter().enumerate() {
            let terms = || (0..size).map(|rank| number(rank, i + len));
            // Sums of N numbers in two orders: each is off by less than (N - 1) eps / 2 times the sum of the sizes.
            let bound = (size - 1) as f32 * f32::EPSILON * terms().map(f32::abs).sum::<f32>();
            assert!((x - terms().sum::<f32>()).abs() <= bound, "{i} of {len}");
        }
        let bits = lists.concat().into_iter().map(|x| u64::from(x.to_bits()));
        let bits: Vec<u64> = bits.chain(numbers.map(f64::to_bits)).collect();
        let all = group.gather_words(&bits).unwrap();
        assert!(all.chunks_exact(bits.len()).all(|other| other == bits), "{len}");
    }
}
