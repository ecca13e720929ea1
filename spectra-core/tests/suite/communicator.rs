//! Sums, gathers and failures of groups of threads.
use spectra_core::backend::ErrorKind;
use spectra_core::distributed::{Communicator, Lost, Reduction, Threads, Traffic, Transport};
use std::time::Duration;

/// Long enough for a loaded machine; a test that waits for it says so.
const DEADLINE: Duration = Duration::from_secs(60);

/// What each rank of a group returns.
fn on_ranks<R: Send>(
    size: usize,
    deadline: Duration,
    run: impl Fn(usize, Communicator<Threads>) -> R + Sync,
) -> Vec<std::thread::Result<R>> {
    std::thread::scope(|scope| {
        let run = &run;
        let spawn = |(rank, threads)| scope.spawn(move || run(rank, Communicator::new(threads)));
        let ranks: Vec<_> = Threads::group(size, deadline).into_iter().enumerate().map(spawn).collect();
        ranks.into_iter().map(|rank| rank.join()).collect()
    })
}

fn all<R>(results: Vec<std::thread::Result<R>>) -> Vec<R> {
    results.into_iter().map(|result| result.expect("no rank panics")).collect()
}

/// A number that is rounded when it is added.
fn number(rank: usize, i: usize) -> f32 {
    ((rank * 7919 + i * 104_729) % 10_007) as f32 / 3.0 - 1500.0
}

#[test]
fn a_sum_is_formed_in_the_order_of_the_ranks() {
    for size in [1, 2, 3, 4, 7] {
        // Around the size from which every rank sums a part; lists of unequal lengths, and more ranks than entries.
        for lens in [[0, 0, 1], [3, 0, 2], [5, 2000, 41], [4000, 17, 3]] {
            let sums = all(on_ranks(size, DEADLINE, |rank, mut group| {
                let mut lists = lens.map(|len| (0..len).map(|i| number(rank, i + len)).collect::<Vec<_>>());
                let mut numbers = [rank as f64 / 3.0, 1e300];
                group.sum(&mut lists.each_mut().map(Vec::as_mut_slice), &mut numbers).unwrap();
                (lists, numbers, group.traffic())
            }));
            for (at, len) in lens.into_iter().enumerate() {
                for i in 0..len {
                    let wanted = (1..size).fold(number(0, i + len), |sum, rank| sum + number(rank, i + len));
                    assert!(sums.iter().all(|(lists, ..)| lists[at][i].to_bits() == wanted.to_bits()));
                }
            }
            let wanted = (1..size).fold(0.0, |sum, rank| sum + rank as f64 / 3.0);
            assert!(sums.iter().all(|(_, numbers, _)| *numbers == [wanted, 1e300 * size as f64]));
            // 2 (N - 1) / N of the message for the large ones, to the roundings of the parts.
            let bytes = 4 * lens.iter().sum::<usize>() + 16;
            if bytes > 8192 && size > 2 {
                let ring = (2 * bytes * (size - 1) / size) as f64;
                let sent = sums.iter().map(|(_, _, traffic)| traffic.bytes as f64);
                assert!(sent.clone().all(|sent| (sent - ring).abs() <= (24 * size) as f64), "{ring}");
                assert!(sums.iter().all(|(_, _, traffic)| (traffic.calls, traffic.rounds) == (1, 2)));
            }
        }
    }
}

#[test]
fn the_largest_number_is_nan_if_one_is() {
    for (numbers, wanted) in
        [([0.0, f64::NAN, 2.0, 3.0], f64::NAN), ([0.0, 5.0, -7.0, f64::INFINITY], f64::INFINITY)]
    {
        let largest = all(on_ranks(4, DEADLINE, |rank, mut group| group.max(numbers[rank]).unwrap()));
        assert!(largest.iter().all(|x| *x == wanted || x.is_nan() && wanted.is_nan()), "{largest:?}");
    }
}

#[test]
fn words_are_gathered_and_broadcast() {
    let results = all(on_ranks(3, DEADLINE, |rank, mut group| {
        let mut bytes = [rank as u8; 5];
        group.broadcast(1, &mut bytes).unwrap();
        (group.gather_words(&[rank as u64, u64::MAX]).unwrap(), bytes)
    }));
    assert!(
        results
            .iter()
            .all(|(words, bytes)| *words == [0, u64::MAX, 1, u64::MAX, 2, u64::MAX] && *bytes == [1; 5])
    );
}

#[test]
fn a_group_is_split_by_color() {
    let results = all(on_ranks(5, DEADLINE, |rank, mut group| {
        let mut part = group.split(rank as u64 % 2).unwrap();
        let mut again = group.split(0).unwrap();
        let here = part.gather_words(&[rank as u64]).unwrap();
        (part.rank(), here, again.gather_words(&[rank as u64]).unwrap())
    }));
    for (rank, (place, here, again)) in results.into_iter().enumerate() {
        let same: Vec<_> = (0..5).filter(|other| other % 2 == rank as u64 % 2).collect();
        assert_eq!((place, here), (rank / 2, same));
        assert_eq!(again, [0, 1, 2, 3, 4]);
    }
}

/// What the ranks but the second learn when that does not do as they do.
fn failures(deadline: Duration, fault: impl Fn(&mut Communicator<Threads>) + Sync) -> Vec<Lost> {
    let results = on_ranks(3, deadline, |rank, mut group| {
        group.gather_words(&[1]).unwrap();
        if rank == 1 {
            fault(&mut group);
        }
        let lost = |error: spectra_core::backend::Error| match error.kind() {
            ErrorKind::Lost(lost) => *lost,
            other => panic!("{other:?}"),
        };
        let first = lost(group.gather_words(&[2]).unwrap_err());
        // There is no way back.
        assert_eq!(lost(group.gather_words(&[3]).unwrap_err()), first);
        assert_eq!(lost(group.split(0).unwrap_err()), first);
        first
    });
    results
        .into_iter()
        .enumerate()
        .filter(|(rank, _)| *rank != 1)
        .map(|(_, result)| result.unwrap())
        .collect()
}

#[test]
fn a_rank_that_panics_ends_the_group() {
    assert_eq!(failures(DEADLINE, |_| panic!("on purpose")), [Lost::left(1); 2]);
}

#[test]
fn a_rank_that_does_not_come_ends_the_group_at_the_deadline() {
    let deadline = Duration::from_millis(200);
    assert_eq!(failures(deadline, |_| std::thread::sleep(5 * deadline)), [Lost::DEADLINE; 2]);
}

#[test]
fn another_call_ends_the_group() {
    let longer = |group: &mut Communicator<Threads>| drop(group.gather_words(&[2, 2]));
    assert_eq!(failures(DEADLINE, longer), [Lost::other_call(1); 2]);
    // Of the same length: each sees that another differs.
    let lost = failures(DEADLINE, |group| drop(group.sum::<f64>(&mut [], &mut [2.0])));
    assert_eq!(lost, [Lost::other_call(1); 2]);
}

#[test]
fn a_deadline_may_be_never() {
    let sums = all(on_ranks(2, Duration::MAX, |rank, mut group| group.gather_words(&[rank as u64]).unwrap()));
    assert!(sums.iter().all(|words| *words == [0, 1]));
}

#[test]
fn a_transport_of_one_rank_needs_no_threads() {
    let mut group = Communicator::new(spectra_core::distributed::Alone);
    let mut values = [1.0_f32, 2.0];
    group.sum(&mut [&mut values], &mut [3.0]).unwrap();
    assert_eq!((values, group.traffic().bytes, group.transport().size()), ([1.0, 2.0], 0, 1));
    assert_eq!(group.gather_words(&[7]).unwrap(), [7]);
}

/// Threads with a sum of their own, which adds from the last rank to the first.
#[derive(Debug)]
struct Backwards(Threads);

impl Transport for Backwards {
    fn rank(&self) -> usize {
        self.0.rank()
    }
    fn size(&self) -> usize {
        self.0.size()
    }
    fn exchange(&mut self, out: &[&[u8]], into: &mut [&mut [u8]]) -> Result<(), Lost> {
        self.0.exchange(out, into)
    }
    fn has_sum(&self) -> bool {
        true
    }
    fn sum(&mut self, singles: &mut [f32], doubles: &mut [f64]) -> Option<Result<(), Lost>> {
        let mut bytes: Vec<u8> = singles.iter().flat_map(|x| x.to_le_bytes()).collect();
        bytes.extend(doubles.iter().flat_map(|x| x.to_le_bytes()));
        let mut into = vec![vec![0; bytes.len()]; self.size()];
        let out = vec![bytes.as_slice(); self.size()];
        let done = self.exchange(&out, &mut into.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
        let (singles_of, doubles_of) = (4 * singles.len(), 8 * doubles.len());
        singles.fill(0.0);
        doubles.fill(0.0);
        for bytes in into.iter().rev() {
            let (of_singles, of_doubles) = bytes.split_at(singles_of);
            assert_eq!(of_doubles.len(), doubles_of);
            let single = |x: &[u8]| f32::from_le_bytes(x.try_into().unwrap());
            let double = |x: &[u8]| f64::from_le_bytes(x.try_into().unwrap());
            singles.iter_mut().zip(of_singles.chunks(4)).for_each(|(x, y)| *x += single(y));
            doubles.iter_mut().zip(of_doubles.chunks(8)).for_each(|(x, y)| *x += double(y));
        }
        Some(done)
    }
    fn split(&mut self, color: u64) -> Result<Self, Lost> {
        self.0.split(color).map(Self)
    }
}

/// `Reduction::Fast`: the transport is given the numbers in their own type, and its sums are what comes out; one call of one round, counted as a ring's.
#[test]
fn a_sum_of_the_transports_own_is_in_the_type_of_its_numbers() {
    const RANKS: usize = 3;
    let list = |rank, len| -> Vec<f32> { (0..len).map(|i| number(rank, i)).collect() };
    let backwards = |len| -> Vec<f32> {
        (0..len).map(|i| (0..RANKS).rev().fold(0.0, |sum, rank| sum + number(rank, i))).collect()
    };
    let run = |rank: usize, threads| {
        let mut group = Communicator::new(Backwards(threads)).reduction(Reduction::Fast);
        let (mut a, mut b, mut numbers) = (list(rank, 3000), list(rank, 5), [0.1 * rank as f64]);
        group.sum(&mut [&mut a, &mut b], &mut numbers).unwrap();
        let traffic = group.traffic();
        let mut doubles = [1e300, 1e-300];
        group.sum(&mut [&mut doubles], &mut [2.0]).unwrap();
        (a, b, numbers, traffic, doubles)
    };
    std::thread::scope(|scope| {
        let run = &run;
        let spawn = |(rank, threads)| scope.spawn(move || run(rank, threads));
        let ranks: Vec<_> = Threads::group(RANKS, DEADLINE).into_iter().enumerate().map(spawn).collect();
        for rank in ranks {
            let (a, b, numbers, traffic, doubles) = rank.join().expect("no rank panics");
            assert!(a == backwards(3000) && b == backwards(5));
            assert_eq!(numbers, [0.2 + 0.1]);
            let bytes = 2 * (4 * 3005 + 8) * 2 / 3;
            assert_eq!(traffic, Traffic { calls: 1, rounds: 1, bytes });
            assert_eq!(doubles, [3e300, 3e-300]);
        }
    });
}
