//! What the programs print of a step.

use core::fmt;

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// Its name.
    pub preset: &'static str,
    /// Steps taken.
    pub step: u64,
    /// The loss before the last of them.
    pub loss: f32,
    /// Images held back that were taken for what they are before the last step, and how many there are.
    pub right: (usize, usize),
    /// Over the bits of all weights.
    pub checksum: u64,
}

impl Report {
    /// Whether the programs print it: not every step.
    pub fn is_told(&self) -> bool {
        self.step.is_multiple_of(10) || self.step == 1
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { preset, step, loss, right: (right, all), checksum } = self;
        let bits = loss.to_bits();
        write!(
            f,
            "{preset:<8} step {step:>2}: loss {loss:.6} ({bits:08x}), {right} of {all} right, weights {checksum:016x}"
        )
    }
}
