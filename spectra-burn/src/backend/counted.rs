//! What a thread asks of burn, counted in this crate's tests only.

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// A product of matrices, or of all parts of two stacks.
    Product,
    /// Any other operation on all entries, or on a scalar.
    Pass,
    /// The copies that make a stack of its parts: one operation of burn's.
    Gather,
    /// A part of a stack handed out: a view where burn makes one.
    View,
    /// Numbers sent to the device; nobody waits.
    Upload,
    /// A wait for the device.
    Wait,
}

/// Counts `operations` of a kind.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn note(_: Work, _: usize) {}

#[cfg(test)]
pub(crate) use counting::{counts, note};

#[cfg(test)]
mod counting {
    use super::Work;
    use std::cell::Cell;

    thread_local!(static COUNTS: [Cell<usize>; 6] = const { [const { Cell::new(0) }; 6] });

    pub(crate) fn note(work: Work, operations: usize) {
        COUNTS.with(|counts| counts[work as usize].update(|count| count + operations));
    }

    /// What `f` asks for: products, other passes, gathers, views, uploads, waits.
    pub(crate) fn counts<R>(f: impl FnOnce() -> R) -> (R, [usize; 6]) {
        COUNTS.with(|counts| counts.iter().for_each(|count| count.set(0)));
        let result = f();
        (result, COUNTS.with(|counts| counts.each_ref().map(Cell::get)))
    }
}
