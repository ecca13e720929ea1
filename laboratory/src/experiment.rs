//! What an experiment is, and the list of all.

use std::path::PathBuf;

use crate::comparison::Comparison;
use crate::{Results, Trial};

/// A set of runs of which some are known only when others have ended.
pub trait Experiment {
    /// On the command line and of its file of results.
    fn name(&self) -> &'static str;

    /// What it asks, in a line.
    fn question(&self) -> &'static str;

    /// The runs that can be named by now, those wanted first before the others; all that are done may be among them.
    fn trials(&self, done: &Results) -> Vec<Trial>;

    /// How many there will be at the end, as far as is known.
    fn total(&self, done: &Results) -> usize {
        self.trials(done).len()
    }
}

/// Every experiment there is.
pub fn all() -> Vec<Box<dyn Experiment + Sync>> {
    vec![Box::new(Comparison::LANGUAGE)]
}

/// The file of an experiment's results.
pub fn file(name: &str) -> PathBuf {
    PathBuf::from(format!("laboratory/results/{name}.csv"))
}
