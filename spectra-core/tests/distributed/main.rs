//! Several ranks against one: threads of this process.
#![cfg(all(feature = "threads", feature = "serde"))]

mod model;
mod same;

use spectra_core::distributed::{Communicator, Threads};
use std::time::Duration;

/// Long enough for a loaded machine; a test that waits for it gives another.
const DEADLINE: Duration = Duration::from_secs(120);

/// What each rank of a group returns; none may panic.
fn on_ranks<R: Send>(size: usize, run: impl Fn(usize, Communicator<Threads>) -> R + Sync) -> Vec<R> {
    on_ranks_within(DEADLINE, size, run).into_iter().map(|result| result.expect("no rank panics")).collect()
}

fn on_ranks_within<R: Send>(
    deadline: Duration,
    size: usize,
    run: impl Fn(usize, Communicator<Threads>) -> R + Sync,
) -> Vec<std::thread::Result<R>> {
    std::thread::scope(|scope| {
        let run = &run;
        let spawn = |(rank, threads)| scope.spawn(move || run(rank, Communicator::new(threads)));
        let ranks: Vec<_> = Threads::group(size, deadline).into_iter().enumerate().map(spawn).collect();
        ranks.into_iter().map(|rank| rank.join()).collect()
    })
}
