//! What a thread asks of burn's devices.

use std::cell::Cell;
use std::ops::Sub;

/// What was asked of burn by the tensor operations of devices other than its CPU: each of these is one operation of burn's. (Reshapes and transposes,
/// which move nothing, do not count.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Products of matrices; one for all parts of two stacks.
    pub products: usize,
    /// All other operations on entries or on numbers that were measured.
    pub passes: usize,
    /// Stacks made of their parts. Burn's GPUs copy the parts one by one.
    pub gathers: usize,
    /// Parts taken out of a stack: a view where it begins at an address that the device allows, a copy elsewhere.
    pub views: usize,
    /// Numbers sent to the device, for which nobody waits.
    pub uploads: usize,
    /// Times that the host waited for the device.
    pub waits: usize,
}

impl Sub for Tally {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            products: self.products - before.products,
            passes: self.passes - before.passes,
            gathers: self.gathers - before.gathers,
            views: self.views - before.views,
            uploads: self.uploads - before.uploads,
            waits: self.waits - before.waits,
        }
    }
}

thread_local!(static TALLY: Cell<Tally> = const { Cell::new(Tally { products: 0, passes: 0, gathers: 0, views: 0, uploads: 0, waits: 0 }) });

impl Tally {
    /// All that this thread has asked for so far.
    pub fn now() -> Self {
        TALLY.get()
    }
}

/// A kind of work, see [`Tally`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    Product,
    Pass,
    Gather,
    View,
    Upload,
    Wait,
}

/// Counts `operations` of a kind.
pub(crate) fn note(work: Work, operations: usize) {
    let mut tally = TALLY.get();
    let count = match work {
        Work::Product => &mut tally.products,
        Work::Pass => &mut tally.passes,
        Work::Gather => &mut tally.gathers,
        Work::View => &mut tally.views,
        Work::Upload => &mut tally.uploads,
        Work::Wait => &mut tally.waits,
    };
    *count += operations;
    TALLY.set(tally);
}
