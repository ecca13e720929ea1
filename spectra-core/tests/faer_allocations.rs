//! A call like an earlier one allocates nothing: counted by the global allocator, all threads included.
#![cfg(feature = "faer")]

use spectra_core::backend::{Backend, Coefficient, Entrywise, Error, Fused, Gradient, Matrix, Op, Result};
use spectra_core::faer::{Faer, FaerElement, FaerMatrix};
use spectra_core::linalg::{Scratch, SixteenBits, SmallFactor, Workspace, uniform};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

impl Counting {
    fn count(bytes: usize) {
        CALLS.fetch_add(1, Relaxed);
        BYTES.fetch_add(bytes, Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count(size);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls and bytes allocated by `f`.
fn allocations(f: impl FnOnce() -> Result<()>) -> Result<(usize, usize)> {
    let before = (CALLS.load(Relaxed), BYTES.load(Relaxed));
    f()?;
    Ok((CALLS.load(Relaxed) - before.0, BYTES.load(Relaxed) - before.1))
}

struct Operands<E> {
    x: FaerMatrix<E>,
    momentum: FaerMatrix<E>,
    narrow: FaerMatrix<E>,
    second: FaerMatrix<E>,
    gradient: FaerMatrix<E>,
    v: FaerMatrix<E>,
    p: FaerMatrix<E>,
    z: FaerMatrix<E>,
    gram: FaerMatrix<E>,
}

impl<E: FaerElement> Operands<E> {
    fn new(m: usize, n: usize, k: usize) -> Self {
        let random = |rows, cols| FaerMatrix::from_fn(rows, cols, |i, j| E::narrow(uniform(1, i, j).abs()));
        Self {
            x: random(m, n),
            momentum: random(m, n),
            narrow: Faer::new().zeros_stored(SixteenBits::Bf16, (m, n), None).expect("memory"),
            second: random(m, n),
            gradient: random(m, n),
            v: random(n, k),
            p: random(m, k),
            z: random(n, k),
            gram: random(k, k),
        }
    }

    /// Every operation once.
    fn step(&mut self) -> Result<()> {
        let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
        let Self { x, momentum, narrow, second, gradient, v, p, z, gram } = self;
        let g = Gradient::new(gradient);
        momentum.power_sweep(Some((0.9, &g)), 1.0, v, p, gram, z)?;
        x.low_rank_add(0.9.into(), 0.1.into(), momentum, p, v)?;
        narrow.power_sweep(Some((0.9, &g)), 1.0, v, p, gram, z)?;
        x.low_rank_add(0.9.into(), 0.1.into(), narrow, p, v)?;
        let workspace = &mut Workspace::new(Faer::new());
        let adam = Entrywise::Adam { betas: (0.9, 0.9), eps: 1e-8, slow: None };
        Faer::entrywise_add([x, momentum, second], (0.9, 0.1), adam, &g, workspace)?;
        for (nesterov, sign) in [(false, false), (true, true)] {
            let rule = Entrywise::Momentum { mu: 0.9, weight: 0.1, nesterov, sign };
            Faer::entrywise_add([x, momentum], (0.9, 0.1), rule, &g, workspace)?;
        }
        p.gemm(zero, one, momentum, Op::Plain, v, Op::Plain)?;
        z.gemm(0.5.into(), one, momentum, Op::Transposed, p, Op::Plain)?;
        x.gemm(0.5.into(), 0.1.into(), p, Op::Plain, v, Op::Transposed)?;
        x.gemm(zero, 0.1.into(), p, Op::Plain, v, Op::Transposed)?;
        gram.gemm_symmetric(one, 0.1.into(), p, Op::Transposed, p, Op::Plain)?;
        x.scale_add(0.5.into(), one, momentum)?;
        x.product_add(0.5.into(), one, momentum, second)?;
        x.quotient_add(0.5.into(), one, momentum, second, 1e-8)?;
        x.sign_add(0.5.into(), one, momentum)?;
        x.dot(momentum)?;
        x.max_abs()?;
        Ok(())
    }
}

/// Steps that are counted, after one that is not.
const STEPS: usize = 20;

/// What `STEPS` steps allocate inside `pool`, and from a thread outside the global one.
fn count<E: FaerElement>(pool: &rayon::ThreadPool) -> Result<[(usize, usize); 2]> {
    let shapes = [(600, 700, 9), (64, 1200, 20), (1500, 65, 5), (40, 48, 3)];
    let mut operands = shapes.map(|(m, n, k)| Operands::<E>::new(m, n, k));
    let mut steps = |count| (0..count).try_for_each(|_| operands.iter_mut().try_for_each(Operands::step));
    // Each thread makes its packing buffer when it first multiplies: let every one do so.
    pool.broadcast(|_| Operands::<E>::new(64, 64, 64).step()).into_iter().collect::<Result<()>>()?;
    rayon::broadcast(|_| Operands::<E>::new(64, 64, 64).step()).into_iter().collect::<Result<()>>()?;
    let inside = pool.install(|| {
        steps(1)?;
        allocations(|| steps(STEPS))
    })?;
    steps(1)?;
    Ok([inside, allocations(|| steps(STEPS))?])
}

/// The allocations, as [`allocations`] counts them, and the entries.
type Factors<E> = ((usize, usize), [FaerMatrix<E>; 3]);

/// Many columns orthonormalized, and large eigenvectors: what a second and a third time allocate inside a pool, and the entries found.
fn factors<E: FaerElement>(pool: &rayon::ThreadPool) -> Result<Factors<E>> {
    const K: usize = 140;
    let tall = FaerMatrix::from_fn(300, K, |i, j| E::narrow(uniform(1, i, j)));
    let symmetric = FaerMatrix::from_fn(K, K, |i, j| E::narrow(uniform(2, i.min(j), i.max(j))));
    let (mut q, mut v, mut root) = (tall.clone(), symmetric.clone(), symmetric.clone());
    let mut scratch = Scratch::new();
    let mut once = || {
        q.copy_from(&tall)?;
        q.gram_schmidt(&mut scratch)?;
        v.small_factor(SmallFactor::EIGENVECTORS, &symmetric, &mut scratch)?;
        let inverse = SmallFactor::Eigen { ridge: 1.0, power: -0.5 };
        root.small_factor(inverse, &symmetric, &mut scratch).map(drop)
    };
    let counted = pool.install(|| {
        once()?;
        allocations(|| (0..2).try_for_each(|_| once()))
    })?;
    Ok((counted, [q, v, root]))
}

// One test, so that nothing else runs while it counts.
#[test]
fn a_second_step_allocates_nothing() -> Result<()> {
    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(2).build().map_err(|e| Error::device("pool", e))?;
    for [inside, (calls, bytes)] in [count::<f32>(&pool)?, count::<f64>(&pool)?] {
        assert_eq!(inside, (0, 0));
        // A call from outside the pool is handed over through rayon's queue, which allocates a block of 1.5 KiB
        // for every 63 of them and frees the one before; a step makes 64 calls, of which the small ones stay here.
        println!("outside the pool: {calls} allocations, {bytes} bytes in {STEPS} steps");
        assert!(calls <= STEPS * 64 / 63 && bytes <= 2048 * calls, "{calls} allocations, {bytes} bytes");
    }
    let alone =
        rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|e| Error::device("pool", e))?;
    let ((counted, found), (_, on_one)) = (factors::<f32>(&pool)?, factors::<f32>(&alone)?);
    assert_eq!(counted, (0, 0));
    assert!(found == on_one, "bits depend on the number of threads");
    assert_eq!(factors::<f64>(&pool)?.0, (0, 0));
    Ok(())
}
