//! The ranks over which a backend's matrices are distributed.

use super::Result;

/// What the checks of a step ask of the other ranks. Only where matrices are distributed: [`Backend::ranks`](super::Backend::ranks).
///
/// All ranks make the same calls in the same order.
pub trait Ranks<S> {
    /// Runs `f` while reductions of distributed matrices (`dot`, `max_abs`) are those of the parts that are here, without a message.
    ///
    /// # Errors
    /// Those of `f`.
    fn here(&self, f: &mut dyn FnMut() -> Result<()>) -> Result<()>;

    /// The sum of the ranks' numbers.
    ///
    /// # Errors
    /// [`ErrorKind::Lost`](super::ErrorKind::Lost).
    fn sum(&self, number: S) -> Result<S>;

    /// The largest of the ranks' numbers; NaN if one is.
    ///
    /// # Errors
    /// [`ErrorKind::Lost`](super::ErrorKind::Lost).
    fn max(&self, number: S) -> Result<S>;

    /// The square of an upper bound of the norm of all gradients, if one is known: a sum that need not be exact is spared.
    ///
    /// # Errors
    /// Those of the backend.
    fn bound(&self) -> Result<Option<S>>;

    /// `Ok` where it is that on all ranks. Otherwise an error on all: that of the first rank which has one.
    ///
    /// # Errors
    /// That error, as [`ErrorKind::Elsewhere`](super::ErrorKind::Elsewhere) on another rank unless it is of a NaN;
    /// [`ErrorKind::Lost`](super::ErrorKind::Lost).
    fn vote(&self, outcome: Result<()>) -> Result<()>;
}
