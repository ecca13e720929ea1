//! One measurement of a check: how large the error was, and on what.

use crate::inputs::Input;

/// The largest error of a check on one input, as a fraction of its tolerance.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Rows and columns.
    pub shape: (usize, usize),
    /// The input; absent where a check makes a matrix of its own.
    pub input: Option<&'static Input>,
    /// The error.
    pub error: f64,
    /// The tolerance it was held against, greater than 0.
    pub tolerance: f64,
}

impl Point {
    /// The error as a fraction of its tolerance: 0 for exact, 1 for just passed.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        fraction(self.error, self.tolerance)
    }

    /// The condition number of the input, if it has one.
    ///
    /// The decomposition is computed on first use and kept with the input.
    #[must_use]
    pub fn condition(&self) -> Option<f64> {
        self.input?.condition().ok().map(|condition| condition.number())
    }
}

/// `error / tolerance`, 0 for no error.
pub(super) fn fraction(error: f64, tolerance: f64) -> f64 {
    if error == 0.0 { 0.0 } else { error / tolerance }
}
