//! A run to be made.

/// A run of an experiment, known by its command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// What it is for: `search`, `seeds`, ...
    pub phase: &'static str,
    /// Which of the things compared it is a run of.
    pub contestant: String,
    /// What follows `lab` on the command line; no word has a blank in it.
    pub command: String,
}

impl Trial {
    /// A run of `lab TASK` with these flags.
    pub fn new(phase: &'static str, contestant: &str, task: &str, flags: &[String]) -> Self {
        Self { phase, contestant: contestant.into(), command: format!("{task} {}", flags.join(" ")) }
    }
}
