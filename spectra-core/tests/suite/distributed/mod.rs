//! Several ranks against one: threads of this process.
mod failures;
mod low_rank;
mod model;
mod same;
mod saved;
mod words;

use spectra_core::distributed::{Communicator, Threads};
use std::time::Duration;

/// Long enough for a loaded machine; a test that waits for it gives another.
const DEADLINE: Duration = Duration::from_secs(120);

/// What each rank of a group returns; none may panic.
fn on_ranks<R: Send>(size: usize, run: impl Fn(usize, Communicator<Threads>) -> R + Sync) -> Vec<R> {
    std::thread::scope(|scope| {
        let run = &run;
        let spawn = |(rank, threads)| scope.spawn(move || run(rank, Communicator::new(threads)));
        let ranks: Vec<_> = Threads::group(size, DEADLINE).into_iter().enumerate().map(spawn).collect();
        ranks.into_iter().map(|rank| rank.join().expect("no rank panics")).collect()
    })
}
