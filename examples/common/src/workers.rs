//! Several ranks that train one model.

use std::collections::BTreeMap;

use spectra_core::distributed::{Communicator, Threads};

use crate::Failure;

/// Refuses more ranks than there are sequences in a batch: one would have nothing to do.
pub(crate) fn whole_batch(ranks: usize, batch: usize) -> Result<(), Failure> {
    match ranks <= batch {
        true => Ok(()),
        false => Err(Failure::input(format!(
            "--workers {ranks} is more than --batch {batch}: pass fewer, or a larger batch"
        ))),
    }
}

/// Runs `work` once for each rank, on a thread of its own. What went wrong, and on which ranks, is one failure: who fails leaves the
/// group, and the others fail of that.
pub(crate) fn on_threads(
    group: Vec<Threads>,
    work: impl Fn(&mut Communicator<Threads>) -> Result<(), Failure> + Sync,
) -> Result<(), Failure> {
    let work = |rank: Threads| work(&mut Communicator::new(rank));
    let done: Vec<_> = std::thread::scope(|scope| {
        let ranks: Vec<_> = group.into_iter().map(|rank| scope.spawn(|| work(rank))).collect();
        ranks.into_iter().map(|rank| rank.join()).collect()
    });
    let size = done.len();
    let mut by_failure: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut all_input = true;
    for (rank, done) in done.into_iter().enumerate() {
        let Err(failure) = done.unwrap_or_else(|_| Err(Failure::run("panicked"))) else { continue };
        all_input &= matches!(failure, Failure::Input(_));
        by_failure.entry(failure.to_string()).or_default().push(rank);
    }
    if by_failure.is_empty() {
        return Ok(());
    }
    let line = |(failure, ranks): (String, Vec<usize>)| match ranks.len() == size {
        true => failure,
        false => format!("on workers {ranks:?}: {failure}"),
    };
    let lines = by_failure.into_iter().map(line).collect::<Vec<_>>().join("; ");
    Err(if all_input { Failure::input(lines) } else { Failure::run(lines) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_went_wrong_is_told_with_its_ranks() {
        let run = |fails: &(dyn Fn(usize) -> Result<(), Failure> + Sync)| {
            on_threads(Threads::group(3, Duration::from_secs(60)), |group| {
                fails(group.rank())?;
                group.gather_words(&[]).map(drop).map_err(Failure::run)
            })
        };
        assert_eq!(run(&|_| Ok(())), Ok(()));
        assert_eq!(run(&|_| Err(Failure::input("no text"))), Err(Failure::input("no text")));
        let failed = run(&|rank| if rank == 1 { Err(Failure::run("a full disk")) } else { Ok(()) });
        let line = failed.expect_err("one has failed").to_string();
        assert!(line.contains("on workers [1]: a full disk") && line.contains("rank 1 left"), "{line}");
    }
}
