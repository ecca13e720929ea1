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
    /// A run of the language model by flags of `train_lm`.
    pub fn language_model(phase: &'static str, contestant: &str, flags: &[String]) -> Self {
        Self { phase, contestant: contestant.into(), command: format!("train {}", flags.join(" ")) }
    }
}
