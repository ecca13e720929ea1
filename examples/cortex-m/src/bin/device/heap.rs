//! The allocator, which counts.

use core::alloc::{GlobalAlloc, Layout};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use embedded_alloc::LlffHeap;

/// Bytes of the heap.
pub(crate) const SIZE: usize = 40 * 1024;

/// What has been asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Usage {
    /// Bytes in use.
    pub(crate) bytes: usize,
    /// The most that were.
    pub(crate) most: usize,
    /// How often memory was asked for.
    pub(crate) calls: usize,
}

/// A first-fit heap with counters; they count what is asked for, not what lies between.
pub(crate) struct Counting {
    heap: LlffHeap,
    bytes: AtomicUsize,
    most: AtomicUsize,
    calls: AtomicUsize,
}

#[global_allocator]
pub(crate) static HEAP: Counting = Counting {
    heap: LlffHeap::empty(),
    bytes: AtomicUsize::new(0),
    most: AtomicUsize::new(0),
    calls: AtomicUsize::new(0),
};

/// To be called once, before anything is allocated.
pub(crate) fn init() {
    static mut MEMORY: [MaybeUninit<u8>; SIZE] = [MaybeUninit::uninit(); SIZE];
    // SAFETY: the memory is this function's alone, of this size, and given away once: `LlffHeap::init` panics at a second call.
    unsafe { HEAP.heap.init(&raw mut MEMORY as usize, SIZE) }
}

impl Counting {
    pub(crate) fn usage(&self) -> Usage {
        Usage {
            bytes: self.bytes.load(Relaxed),
            most: self.most.load(Relaxed),
            calls: self.calls.load(Relaxed),
        }
    }

    /// From here on `most` and `calls` are counted anew.
    pub(crate) fn reset(&self) {
        self.most.store(self.bytes.load(Relaxed), Relaxed);
        self.calls.store(0, Relaxed);
    }
}

// SAFETY: every call is passed on to the heap; the other methods default to these.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.calls.fetch_add(1, Relaxed);
        let bytes = self.bytes.fetch_add(layout.size(), Relaxed) + layout.size();
        self.most.fetch_max(bytes, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { self.heap.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.bytes.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { self.heap.dealloc(pointer, layout) }
    }
}
