//! What sums over ranks cost: `mpirun -n 4 target/release/examples/collectives`, or `collectives --threads 4`.

use spectra_core::distributed::{Communicator, Reduction, Threads, Transport};
use spectra_mpi::Mpi;
use std::error::Error;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);
const LENS: [usize; 5] = [1, 2_000, 50_000, 1_000_000, 10_000_000];
/// A measurement is repeated for this long; the least and the middle are shown.
const TIME: Duration = Duration::from_millis(1500);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        None => measure(Mpi::init(DEADLINE)?, "MPI"),
        Some("--threads") => {
            let size = arguments.next().ok_or("--threads wants a number")?.parse()?;
            let run = |rank| measure(rank, "threads").map_err(|error| error.to_string());
            std::thread::scope(|scope| {
                let ranks = Threads::group(size, DEADLINE).into_iter();
                let started: Vec<_> = ranks.map(|rank| scope.spawn(move || run(rank))).collect();
                started
                    .into_iter()
                    .try_for_each(|rank| rank.join().map_err(|_| "a rank panicked".to_string())?)
            })?;
            Ok(())
        }
        Some(other) => Err(format!("unknown argument {other}; --threads N, or nothing under mpirun").into()),
    }
}

fn measure<T: Transport>(transport: T, name: &str) -> Result<(), Box<dyn Error>> {
    let (rank, size) = (transport.rank(), transport.size());
    if rank == 0 {
        println!("{size} ranks ({name}), f32: least and middle time of a sum, words sent by a rank");
    }
    let mut group = Communicator::new(transport);
    for len in LENS {
        for reduction in [Reduction::Ordered, Reduction::Fast] {
            group = group.reduction(reduction);
            let mut values = vec![1.0_f32; len];
            let before = group.traffic();
            group.sum(&mut [&mut values], &mut [])?;
            let sent = (group.traffic().bytes - before.bytes) / 4;
            let (mut times, begun) = (Vec::new(), Instant::now());
            // All repeat equally often: whether there is time for one more is asked of all.
            while times.len() < 3 || group.max(begun.elapsed().as_secs_f64())? < TIME.as_secs_f64() {
                let begun = Instant::now();
                group.sum(&mut [&mut values], &mut [])?;
                times.push(begun.elapsed());
                values.fill(1.0);
            }
            times.sort();
            if rank == 0 {
                let (least, middle) = (times[0], times[times.len() / 2]);
                println!("{len:>9} {reduction:?}: {least:?} {middle:?}, {sent} words, {} sums", times.len());
            }
        }
    }
    Ok(())
}
