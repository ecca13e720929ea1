//! Matrices of one shape as one.

use super::{Backend, Result};
use alloc::vec::Vec;

/// A backend of stacks: matrices of one shape on which every operation works at once, so that a device is asked once for all of them.
///
/// A *stack* is a matrix of the same [`Backend::Matrix`] with the shape of its parts. An operation on stacks is done to each part as if
/// it were alone; a number that is measured on one is one number for each part, and a coefficient of stacks is either such or the
/// same for all. The host cannot read either. Algorithms that read nothing, do the same whatever the numbers, and change buffers in place
/// run on stacks unaltered: [`Batching::Stacked`](crate::rules::Batching::Stacked).
pub trait Stacking<B: Backend> {
    /// How many parts a stack may have.
    fn most(&self) -> usize;

    /// Whether the two can be parts of one stack, given equal shapes.
    fn alike(&self, a: &B::Matrix, b: &B::Matrix) -> bool;

    /// The backend whose matrices are stacks of `count` parts, from 2 to [`most`](Self::most). What is uploaded or written goes to every
    /// part.
    ///
    /// # Errors
    /// Those of the device.
    fn of(&self, count: usize) -> Result<B>;

    /// The stack of these matrices, at least 2: it shares their memory, or holds copies until [`unstack`](Self::unstack). What is done to it is done to
    /// them, in the order of calls; it is not to be used after one of them is gone. `last`: a stack of as many that is no longer needed, whose place may be used again.
    ///
    /// # Errors
    /// Shapes; matrices that are not [`alike`](Self::alike); those of the device.
    fn stack(&self, parts: &[&B::Matrix], last: Option<B::Matrix>) -> Result<B::Matrix>;

    /// The end of a stack: where it holds copies, what was done to it is done to `parts`, those that it was made of, or none if it was only read. Returns
    /// it if it has a place that may be used again. The default is of stacks that share memory.
    ///
    /// # Errors
    /// Those of the device.
    fn unstack(&self, stack: B::Matrix, parts: Vec<&mut B::Matrix>) -> Result<Option<B::Matrix>> {
        let _ = parts;
        Ok(Some(stack))
    }
}
