//! Working memory that outlives a call: it belongs to a workspace and goes with it.

use super::gemm;
use super::kernels::Kernels;
use crate::backend::{Coefficient, Op};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Makes ready for calls on any thread of rayon's pool: none like an earlier one allocates.
pub(crate) fn provide() {
    // A thread makes faer's packing buffer, which stays with it, when it first multiplies matrices that are not tiny.
    rayon::broadcast(|_| {
        let (a, mut out) = ([0.0f32; SIDE * SIDE], [0.0; SIDE * SIDE]);
        let a = gemm::view(&a, (SIDE, SIDE), Op::Plain);
        f32::gemm(&mut out, Coefficient::ZERO, Coefficient::ONE, a, a);
    });
}

const SIDE: usize = 64;

/// Buffers of both element types. The calls of one thread at a time take from it, so it holds as many as one call needs.
#[derive(Debug, Default)]
pub struct Pool {
    pub(super) single: Buffers<f32>,
    pub(super) double: Buffers<f64>,
}

std::thread_local! {
    static CURRENT: RefCell<Option<Arc<Pool>>> = const { RefCell::new(None) };
}

/// Of calls without a workspace; kept until the process ends.
static SHARED: LazyLock<Arc<Pool>> = LazyLock::new(Arc::default);

/// Until it is dropped the calls of this thread take their buffers from a pool.
#[derive(Debug)]
pub(crate) struct Scope(Option<Arc<Pool>>);

/// Begins a scope.
pub(crate) fn enter(pool: &Arc<Pool>) -> Scope {
    Scope(CURRENT.replace(Some(pool.clone())))
}

impl Drop for Scope {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// Runs `f` with `len` elements of unspecified contents, the first at the start of a cache line, from the pool of this
/// thread. The parts of a call that run on other threads get their share of the caller's buffer.
pub(super) fn with<E: Kernels, R>(len: usize, f: impl FnOnce(&mut [E]) -> R) -> R {
    let pool = CURRENT.with_borrow(Clone::clone).unwrap_or_else(|| SHARED.clone());
    E::buffers(&pool).with(len, E::zero(), f)
}

/// Buffers that are not in use. Matrices change roles between steps, but the sizes asked for repeat: a call like an earlier
/// one finds its buffer here and allocates nothing.
#[derive(Debug)]
pub struct Buffers<E>(Mutex<Vec<Vec<E>>>);

impl<E> Default for Buffers<E> {
    /// None.
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<E: Copy> Buffers<E> {
    /// See [`with`].
    fn with<R>(&self, len: usize, zero: E, f: impl FnOnce(&mut [E]) -> R) -> R {
        // A vector of AVX-512 is as long as a line.
        const LINE: usize = 64;
        let spare = LINE / size_of::<E>();
        let mut buffer = self.take(len + spare);
        if buffer.len() < len + spare {
            buffer.reserve_exact(len + spare - buffer.len());
            buffer.resize(len + spare, zero);
        }
        // The offset is a matter of speed only; `align_offset` may say that it does not know.
        let first = buffer.as_ptr().align_offset(LINE).min(spare);
        let result = f(&mut buffer[first..first + len]);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        result
    }

    /// The smallest buffer that is large enough, else the largest (it will grow), else a new one.
    fn take(&self, len: usize) -> Vec<E> {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = |buffer: &Vec<E>| buffer.len() >= len;
        let sizes = free.iter().enumerate();
        let best =
            sizes.min_by_key(
                |(_, buffer)| {
                    if enough(buffer) { (0, buffer.len()) } else { (1, usize::MAX - buffer.len()) }
                },
            );
        match best.map(|(i, _)| i) {
            Some(i) => free.swap_remove(i),
            None => Vec::new(),
        }
    }
}
