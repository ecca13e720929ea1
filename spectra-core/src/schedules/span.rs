//! A stretch of a run, in updates or as a fraction of the whole.

use crate::backend::{Error, Result};

/// A number of updates, given outright or as a fraction of the run.
///
/// ```
/// use spectra_core::schedules::Span;
///
/// assert_eq!(Span::Steps(30).steps_of(400), 30);
/// assert_eq!(Span::Fraction(0.2).steps_of(400), 80);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Span {
    /// This many updates.
    Steps(u64),
    /// This fraction of the run, in `[0, 1]`, rounded to the nearest update.
    ///
    /// The program of arXiv 2603.14315 rounds down in binary arithmetic (`int(0.29 * 100)` is 28 there, 29 here);
    /// [`Span::Steps`] says either exactly.
    Fraction(f64),
}

impl Span {
    /// The span's updates in a run of `total_steps`.
    ///
    /// A NaN or negative fraction counts as 0: the schedules refuse it before they ask.
    #[must_use]
    pub fn steps_of(self, total_steps: u64) -> u64 {
        match self {
            Span::Steps(steps) => steps,
            Span::Fraction(fraction) => libm::round(fraction * total_steps as f64) as u64,
        }
    }

    /// Refuses a fraction outside `[0, 1]` and a span longer than `available` updates of a run of `total_steps`.
    pub(crate) fn check(
        self,
        operation: &'static str,
        name: &'static str,
        total_steps: u64,
        available: u64,
    ) -> Result<()> {
        if let Span::Fraction(fraction) = self
            && !(0.0..=1.0).contains(&fraction)
        {
            let requirement = "a fraction of the run, from 0 to 1";
            return Err(Error::argument(operation, name, fraction, requirement));
        }
        let steps = self.steps_of(total_steps);
        if steps > available {
            let requirement = "at most the updates that the run has left for it";
            return Err(Error::argument(operation, name, steps as f64, requirement));
        }
        Ok(())
    }
}
