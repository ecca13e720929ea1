//! A stream with everything that a backend keeps on it.

use super::launch::MAX_BLOCKS;
use super::memory::{Buffer, CHUNK, Slots, Working, zeroed};
use super::products::{Multiplier, Products};
use super::source::{Kernels, source};
use super::symmetric::{LEAST_BLOCK, POINTERS};
use super::tally::{Counters, Tally};
use super::watch::Watch;
use crate::error::CudaError;
use crate::raw::libraries;
use cudarc::driver::CudaStream;
use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, Weak};

/// Partial results of one launch.
const PARTIALS: usize = 16 * MAX_BLOCKS;

/// The caller's stream, the compiled kernels, a cuBLAS handle, and working memory that is allocated once. All work is
/// queued on this one stream, so that working memory is reused in the order of calls.
///
/// Used by several threads at once. What one launch leaves for the next lies behind a lock that is held until both are queued:
/// the factors of a product, working memory that may grow. What a single launch uses and leaves behind needs none (the
/// partial results and their counter): the stream orders launches.
pub(crate) struct Device {
    pub(super) multiplier: Mutex<Multiplier>,
    pub(super) stream: Arc<CudaStream>,
    pub(super) kernels: Kernels,
    pub(super) products: Products,
    /// The order from which on symmetric products in a reduced precision are cut into blocks.
    pub(crate) least_block: AtomicUsize,
    pub(super) slots: Mutex<Slots>,
    pub(super) working: Mutex<Working>,
    pub(super) partials: Buffer,
    pub(super) counter: Buffer,
    pub(super) counters: Counters,
    pub(super) watches: Mutex<Vec<Weak<dyn Watch>>>,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("ordinal", &self.stream.context().ordinal())
            .field("products", &self.products)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl Device {
    /// Compiles the kernels and allocates the working memory.
    pub(crate) fn new(stream: &Arc<CudaStream>, products: Products) -> Result<Self, CudaError> {
        Self::with_source(stream, products, source(products.real()))
    }

    /// The same with another source of the kernels.
    pub(super) fn with_source(
        stream: &Arc<CudaStream>,
        products: Products,
        source: String,
    ) -> Result<Self, CudaError> {
        libraries::check()?;
        let kernels = Kernels::load(stream.context(), source)?;
        let multiplier = Multiplier::new(stream, POINTERS)?;
        let mut slots = Slots::default();
        slots.add(zeroed(stream, 8 * CHUNK)?);
        let device = Self {
            multiplier: Mutex::new(multiplier),
            stream: stream.clone(),
            kernels,
            products,
            least_block: AtomicUsize::new(LEAST_BLOCK),
            slots: Mutex::new(slots),
            working: Mutex::default(),
            partials: zeroed(stream, 8 * PARTIALS)?,
            counter: zeroed(stream, 8)?,
            counters: Counters::default(),
            watches: Mutex::default(),
        };
        Counters::add(&device.counters.allocations, 6);
        Ok(device)
    }

    pub(crate) fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    pub(crate) fn products(&self) -> Products {
        self.products
    }

    pub(crate) fn tally(&self) -> Tally {
        self.counters.read()
    }

    /// An error unless one launch may leave `count` partial results.
    pub(super) fn check_partials(&self, count: usize) -> Result<(), CudaError> {
        if self.partials.holds(8 * count) {
            Ok(())
        } else {
            Err(CudaError::TooLarge { what: "a number of columns", size: count / 2 })
        }
    }
}
