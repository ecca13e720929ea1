//! Takes three Spectra steps without std, with an allocator of its own, and exits with 0 if the loss fell.
#![no_std]
#![no_main]

extern crate alloc;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};
use spectra_core::backend::{Matrix, Result};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec, plan::Rule};

/// Hands out memory from a fixed arena and never takes it back, as a small device might.
struct Arena {
    memory: UnsafeCell<[u8; SIZE]>,
    used: AtomicUsize,
}

const SIZE: usize = 1 << 20;

// SAFETY: every byte is handed out at most once, by an atomic counter.
unsafe impl Sync for Arena {}

// SAFETY: returned ranges are aligned, in bounds and disjoint.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.used.fetch_add(layout.size() + layout.align(), Ordering::Relaxed);
        let base = self.memory.get() as usize;
        let aligned = (base + start).next_multiple_of(layout.align()) - base;
        if aligned + layout.size() > SIZE {
            return core::ptr::null_mut();
        }
        // SAFETY: in bounds by the check above.
        unsafe { self.memory.get().cast::<u8>().add(aligned) }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ARENA: Arena = Arena { memory: UnsafeCell::new([0; SIZE]), used: AtomicUsize::new(0) };

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Minimises ||X||^2 / 2 (gradient X) for three steps; whether the norm fell each time.
fn train() -> Result<bool> {
    let spec = ParameterSpec::new("x", (8, 12), Rule::Spectral);
    let config = Config::preset("spectra")?.lr(0.1);
    let mut optimizer = Optimizer::new(Dense::<f32>::new(), config, [spec])?;
    let mut x = DenseMatrix::from_fn(8, 12, |i, j| ((i * 5 + j * 7) % 11) as f32 - 5.0);
    let mut falling = true;
    for _ in 0..3 {
        let before = x.dot(&x)?;
        let gradient = x.clone();
        optimizer.step(&mut [(&mut x, &gradient)])?;
        falling &= x.dot(&x)? < before;
    }
    Ok(falling)
}

/// The C runtime's entry; 0 means success.
#[unsafe(no_mangle)]
pub extern "C" fn main() -> i32 {
    match train() {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(_) => 2,
    }
}
