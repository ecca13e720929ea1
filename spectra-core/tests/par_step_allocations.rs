//! After its first step `par_step` allocates nothing, whichever threads come together: counted by the global allocator,
//! all threads included. But for rayon's own queues, which may grow later.
#![cfg(feature = "faer")]

use spectra_core::backend::{Error, Result};
use spectra_core::faer::{Faer, FaerElement, FaerMatrix};
use spectra_core::linalg::uniform;
use spectra_core::optimizer::{Config, Optimizer, ParameterSpec, plan::Rule};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator; the other methods default to these.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A dozen layers of two shapes, of which several are in work at the same time, a norm for each, and a matrix that takes
/// its turn on all threads.
fn shapes() -> Vec<(usize, usize, Rule)> {
    let layer = [(320, 256, Rule::Spectral), (96, 600, Rule::Spectral), (1, 256, Rule::Elementwise)];
    let mut shapes = layer.repeat(6);
    shapes.insert(4, (1030, 1024, Rule::Spectral));
    shapes
}

fn random<E: FaerElement>(seed: u64) -> Vec<FaerMatrix<E>> {
    let shapes = shapes().into_iter().zip(seed..);
    shapes
        .map(|((rows, cols, _), seed)| FaerMatrix::from_fn(rows, cols, |i, j| E::narrow(uniform(seed, i, j))))
        .collect()
}

/// The allocator's calls in each step.
fn calls_per_step<E: FaerElement>(preset: &str, steps: usize) -> Result<Vec<usize>> {
    let specs = shapes().into_iter().enumerate();
    let specs = specs.map(|(i, (rows, cols, rule))| ParameterSpec::new(format!("p{i}"), (rows, cols), rule));
    let mut optimizer = Optimizer::new(Faer::<E>::new(), Config::preset(preset)?.clip_norm(1.0), specs)?;
    let (mut weights, gradients) = (random::<E>(1), random::<E>(100));
    let mut pairs: Vec<_> = weights.iter_mut().zip(&gradients).collect();
    let mut calls = Vec::with_capacity(steps);
    for _ in 0..steps {
        let before = CALLS.load(Relaxed);
        optimizer.par_step(&mut pairs)?;
        calls.push(CALLS.load(Relaxed) - before);
    }
    Ok(calls)
}

// One test, so that nothing else runs while it counts.
#[test]
fn a_second_step_allocates_nothing() -> Result<()> {
    for threads in [2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|e| Error::device("pool", e))?;
        for (preset, steps) in [("spectra", 30), ("spectra-signum", 3), ("muon", 3), ("adamw", 10)] {
            let run = || {
                Ok::<_, Error>((calls_per_step::<f32>(preset, steps)?, calls_per_step::<f64>(preset, steps)?))
            };
            let (mut single, mut double) = pool.install(run)?;
            let is_quiet = |calls: &[usize]| calls[1..].iter().all(|calls| *calls == 0);
            // A thread's queue that gets longer than it ever was, as when the machine keeps the others from running, is doubled by
            // rayon, in two calls. It stays as long, so that the same again makes none.
            if !is_quiet(&single) || !is_quiet(&double) {
                println!("{preset}, {threads} threads: {single:?} {double:?}; once more");
                (single, double) = pool.install(run)?;
            }
            println!("{preset}, {threads} threads: {single:?} {double:?}");
            assert!(single[0] > 0, "the counter does not count");
            for calls in [single, double] {
                assert!(is_quiet(&calls), "{preset}, {threads} threads: {calls:?}");
            }
        }
    }
    Ok(())
}
