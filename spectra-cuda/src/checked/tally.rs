//! What a backend has asked of the device so far.

use std::ops::Sub;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since the backend was made; subtract two to learn what lies between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Tally {
    /// Kernel launches, cuBLAS products included (of which cuBLAS may make more than one kernel). What a graph repeats is not asked for
    /// again, here and in the products.
    pub launches: u64,
    /// Graphs launched, each a whole step.
    pub graphs: u64,
    /// cuBLAS products among them; a batch counts once.
    pub products: u64,
    /// Floating-point operations of the products: `2 m n l` of m x n sums of l terms, `n (n + 1) l` of a triangle.
    pub flops: u64,
    /// Allocations of device memory.
    pub allocations: u64,
    /// Bytes that kernels and products must move: each operand once for each launch that reads or writes it, as if
    /// nothing stayed in a cache and everything that a launch reads twice did.
    pub bytes: u64,
    /// Times the host waited for the device.
    pub waits: u64,
}

impl Sub for Tally {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            launches: self.launches - earlier.launches,
            graphs: self.graphs - earlier.graphs,
            products: self.products - earlier.products,
            flops: self.flops - earlier.flops,
            allocations: self.allocations - earlier.allocations,
            bytes: self.bytes - earlier.bytes,
            waits: self.waits - earlier.waits,
        }
    }
}

/// The running counts.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) launches: AtomicU64,
    pub(super) graphs: AtomicU64,
    pub(super) products: AtomicU64,
    pub(super) flops: AtomicU64,
    pub(super) allocations: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) waits: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> Tally {
        Tally {
            launches: self.launches.load(Relaxed),
            graphs: self.graphs.load(Relaxed),
            products: self.products.load(Relaxed),
            flops: self.flops.load(Relaxed),
            allocations: self.allocations.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            waits: self.waits.load(Relaxed),
        }
    }

    pub(super) fn add(counter: &AtomicU64, by: usize) {
        counter.fetch_add(by as u64, Relaxed);
    }
}
