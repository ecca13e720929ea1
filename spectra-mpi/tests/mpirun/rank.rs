//! One rank of a started program.

use crate::faults::Fault;
use crate::{FOLDER, claims};
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub(crate) fn run(case: &str) {
    match Fault::ALL.into_iter().find(|fault| format!("{fault:?}") == case) {
        Some(fault) => fault.run(),
        None => claims::run(),
    }
}

/// Tells the test what this rank has found.
pub(crate) fn say(rank: usize, what: &str) {
    let path = place(rank);
    // Whole or not at all: others wait for it.
    std::fs::write(path.with_extension("part"), what).expect("a file");
    std::fs::rename(path.with_extension("part"), path).expect("a file");
}

/// Waits until these ranks have said something: mpirun ends all when the first ends after a loss.
pub(crate) fn wait_for(ranks: &[usize]) {
    let until = Instant::now() + Duration::from_secs(30);
    while !ranks.iter().all(|rank| place(*rank).exists()) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn place(rank: usize) -> PathBuf {
    PathBuf::from(std::env::var_os(FOLDER).expect("a folder")).join(rank.to_string())
}
