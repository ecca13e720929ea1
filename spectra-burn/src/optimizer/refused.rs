//! A step that was refused.

use spectra_core::backend::Error;
use std::fmt;

/// A step that was refused, with the module handed back: as it was, but for the two cases that [`Hybrid::step`](crate::Hybrid::step)
/// names, one that broke off, and one whose update left the range of 16-bit weights, which has been taken and counted.
pub struct Refused<M> {
    /// The module; after a step that was taken, with the new weights.
    pub module: M,
    /// Why.
    pub error: Error,
}

impl<M> fmt::Debug for Refused<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<M> fmt::Display for Refused<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<M> core::error::Error for Refused<M> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl<M> From<Refused<M>> for Error {
    fn from(refused: Refused<M>) -> Self {
        refused.error
    }
}
