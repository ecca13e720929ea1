//! Working memory that outlives a call.

use super::gemm;
use super::kernels::Kernels;
use crate::backend::{Coefficient, Op};
use alloc::vec::Vec;
use std::sync::{Mutex, PoisonError};

/// Makes ready for `threads` calls at the same time, of any thread of rayon's pool: none like an earlier one allocates.
pub(crate) fn provide(threads: usize) {
    // A call holds a buffer of its own type, a sweep one of `f64` besides, an update of weights in 16 bits a second one.
    f32::buffers().provide(2 * threads, 0.0);
    f64::buffers().provide(2 * threads, 0.0);
    // A thread makes faer's packing buffer when it first multiplies matrices that are not tiny.
    rayon::broadcast(|_| {
        let (a, mut out) = ([0.0f32; SIDE * SIDE], [0.0; SIDE * SIDE]);
        let a = gemm::view(&a, (SIDE, SIDE), Op::Plain);
        f32::gemm(&mut out, Coefficient::ZERO, Coefficient::ONE, a, a);
    });
}

const SIDE: usize = 64;

/// Buffers that are not in use. They belong to the element type, not to a thread or a matrix: any thread of
/// the pool may run a call, and matrices change roles between steps, but the sizes asked for repeat. So a call
/// like an earlier one finds its buffer here and allocates nothing; calls at the same time get different ones,
/// [provided](Self::provide) where it is known how many there can be.
#[derive(Debug)]
pub struct Buffers<E>(Mutex<Vec<Vec<E>>>);

impl<E: Copy> Buffers<E> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Sees to it that `count` calls at the same time find buffers as long as the longest so far.
    pub(super) fn provide(&self, count: usize, zero: E) {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = free.iter().map(Vec::len).max().unwrap_or(0);
        if longest == 0 {
            return;
        }
        let more = count.saturating_sub(free.len());
        free.extend(core::iter::repeat_with(Vec::new).take(more));
        free.sort_unstable_by_key(|buffer| core::cmp::Reverse(buffer.len()));
        free.iter_mut().take(count).for_each(|buffer| buffer.resize(longest, zero));
    }

    /// Runs `f` with `len` elements of unspecified contents, the first at the start of a cache line: a vector of
    /// AVX-512 is as long as one.
    pub(super) fn with<R>(&self, len: usize, zero: E, f: impl FnOnce(&mut [E]) -> R) -> R {
        const LINE: usize = 64;
        let spare = LINE / size_of::<E>();
        let mut buffer = self.take(len + spare);
        if buffer.len() < len + spare {
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
