//! A stream with everything that a backend keeps on it.

use super::memory::{Buffer, CHUNK, Slots, lock, zeroed};
use super::source::{Kernels, source};
use super::tally::{Counters, Tally};
use super::{Products, launch::MAX_BLOCKS};
use crate::error::CudaError;
use crate::raw::{blas::Blas, libraries};
use cudarc::driver::CudaStream;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

/// cuBLAS's own working memory: what NVIDIA recommends for Hopper; less makes some products slower.
const BLAS_WORKSPACE: usize = 32 << 20;

/// Partial results of one launch.
const PARTIALS: usize = 16 * MAX_BLOCKS;

/// The caller's stream, the compiled kernels, a cuBLAS handle, and working memory that is allocated once. All work is
/// queued on this one stream, so that working memory is reused in the order of calls.
pub(crate) struct Device {
    // Fields are dropped in this order: cuBLAS before its working memory.
    blas: Mutex<Blas>,
    pub(super) stream: Arc<CudaStream>,
    pub(super) kernels: Kernels,
    pub(super) products: Products,
    pub(super) slots: Mutex<Slots>,
    pub(super) working: Mutex<Option<Buffer>>,
    pub(super) partials: Buffer,
    pub(super) counter: Buffer,
    pub(super) counters: Counters,
    _blas_workspace: Buffer,
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
        let blas_workspace = zeroed(stream, BLAS_WORKSPACE)?;
        // SAFETY: the handle is dropped before the memory: it is the first field.
        let blas = unsafe { Blas::new(stream, (blas_workspace.pointer(), BLAS_WORKSPACE)) }?;
        let mut slots = Slots::default();
        slots.add(zeroed(stream, 8 * CHUNK)?);
        let device = Self {
            blas: Mutex::new(blas),
            stream: stream.clone(),
            kernels,
            products,
            slots: Mutex::new(slots),
            working: Mutex::default(),
            partials: zeroed(stream, 8 * PARTIALS)?,
            counter: zeroed(stream, 8)?,
            counters: Counters::default(),
            _blas_workspace: blas_workspace,
        };
        Counters::add(&device.counters.allocations, 4);
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

    pub(super) fn blas(&self) -> MutexGuard<'_, Blas> {
        lock(&self.blas)
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
