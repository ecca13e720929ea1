//! What the machine can do at best.

use std::fs;
use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

pub(crate) use spectra_examples::provenance::cpu;

/// Multiply-adds in `f32` on vectors that stay in registers, on all threads, in flops per second.
pub(crate) fn multiply_adds() -> f64 {
    const STEPS: usize = 1 << 22;
    /// So many that none waits for the one before (two a cycle, four to five cycles each), and that all of them and the two factors are in AVX2's sixteen
    /// registers.
    const SUMS: usize = 12;
    struct MultiplyAdds;
    impl pulp::WithSimd for MultiplyAdds {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, simd: S) -> usize {
            let (x, y) = (simd.splat_f32s(black_box(0.999)), simd.splat_f32s(black_box(1e-3)));
            let mut sums = black_box(core::array::from_fn::<_, SUMS, _>(|i| simd.splat_f32s(i as f32)));
            for _ in 0..STEPS {
                for sum in &mut sums {
                    *sum = simd.mul_add_e_f32s(*sum, x, y);
                }
            }
            black_box(sums);
            2 * STEPS * SUMS * (size_of::<S::f32s>() / size_of::<f32>())
        }
    }
    let mut best: f64 = 0.0;
    for _ in 0..5 {
        let start = Instant::now();
        let flops: usize = rayon::broadcast(|_| pulp::Arch::new().dispatch(MultiplyAdds)).iter().sum();
        best = best.max(flops as f64 / start.elapsed().as_secs_f64());
    }
    best
}

/// Seconds a number takes from one thread to another and back: some 100 ns where two cores share a cache, several times that
/// where they do not. Then either has the other's memory bandwidth besides its own, and what one has written comes slowly to
/// the other.
pub(crate) fn round_trip() -> f64 {
    const TRIPS: usize = 100_000;
    let ball = AtomicUsize::new(0);
    let wait_for = |turn: usize| {
        while ball.load(Ordering::Acquire) != turn {
            spin_loop();
        }
    };
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for trip in 0..TRIPS {
                wait_for(2 * trip + 1);
                ball.store(2 * trip + 2, Ordering::Release);
            }
        });
        for trip in 0..TRIPS {
            ball.store(2 * trip + 1, Ordering::Release);
            wait_for(2 * trip + 2);
        }
    });
    start.elapsed().as_secs_f64() / TRIPS as f64
}

/// Bytes of memory that could be had (Linux).
pub(crate) fn free_memory() -> Option<f64> {
    kilobytes("/proc/meminfo", "MemAvailable:").map(|number| 1024.0 * number as f64)
}

/// Begins to look for the largest resident memory of this process anew (Linux).
pub(crate) fn reset_peak() {
    // Where that is not to be had, `peak` is the largest since the start, or nothing.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Bytes of the largest resident memory since then (Linux).
pub(crate) fn peak() -> Option<u64> {
    kilobytes("/proc/self/status", "VmHWM:").map(|number| 1024 * number)
}

fn kilobytes(file: &str, title: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(title))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
