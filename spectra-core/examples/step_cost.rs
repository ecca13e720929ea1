//! What the operations of an optimizer step cost on this machine, against floors measured in the same run.
//!
//! `cargo run --release -p spectra-core --features faer --example step_cost [-- f64]`
//!
//! Each line is the least of several runs: other load can only add. `floor` is the time the operation would
//! take if its flops ran at the square product's speed or its words moved at the copy's, whichever is longer.

use spectra_core::backend::{Coefficient, Gradient, Matrix, Op, Result};
use spectra_core::faer::{Faer, FaerElement, FaerMatrix};
use spectra_core::linalg::{Workspace, uniform};
use spectra_core::maps::{TailShrink, tail_shrink};
use std::time::Instant;

const SHAPES: [(usize, usize); 3] = [(1024, 3072), (4096, 4096), (4096, 14336)];

fn main() -> Result<()> {
    if std::env::args().any(|arg| arg == "f64") { run::<f64>() } else { run::<f32>() }
}

fn run<E: FaerElement>() -> Result<()> {
    let floors = Floors::measure::<E>()?;
    println!("{}, {} threads", E::NAME, rayon::current_num_threads());
    println!("square product {:.0} GFLOP/s, copy {:.1} GB/s\n", floors.flops / 1e9, floors.bytes / 1e9);
    for (m, n) in SHAPES {
        let k = TailShrink::default().rank(m, n);
        println!("{m} x {n}, k = {k}");
        println!("{:34}{:>9}{:>10}{:>8}{:>9}{:>8}", "", "ms", "GFLOP/s", "GB/s", "floor ms", "/ floor");
        let mut table = Table { floors: &floors, size: size_of::<E>() };
        let adam = operations::<E>(&mut table, m, n, k)?;
        let step = whole_step::<E>(&mut table, m, n, k)?;
        println!("whole Spectra step / AdamW's pass: {:.2}\n", step / adam);
    }
    Ok(())
}

/// The least of at least `5` runs and half a second, in seconds.
fn least(mut f: impl FnMut() -> Result<()>) -> Result<f64> {
    let (start, mut least, mut runs) = (Instant::now(), f64::INFINITY, 0);
    while runs < 5 || start.elapsed().as_secs_f64() < 0.5 {
        let start = Instant::now();
        f()?;
        least = least.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    Ok(least)
}

fn random<E: FaerElement>(rows: usize, cols: usize) -> FaerMatrix<E> {
    FaerMatrix::from_fn(rows, cols, |i, j| E::narrow(uniform(1, i, j)))
}

struct Floors {
    /// Flops per second of a square product.
    flops: f64,
    /// Bytes per second of a copy much larger than the caches, reads and writes counted.
    bytes: f64,
}

impl Floors {
    fn measure<E: FaerElement>() -> Result<Self> {
        let side = 2048;
        let (a, mut out) = (random::<E>(side, side), random::<E>(side, side));
        let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
        let product = least(|| out.gemm(zero, one, &a, Op::Plain, &a, Op::Plain))?;
        let (x, mut y) = (random::<E>(4096, 8192), random::<E>(4096, 8192));
        let copy = least(|| y.copy_from(&x))?;
        let bytes = 2.0 * (4096 * 8192 * size_of::<E>()) as f64;
        Ok(Self { flops: 2.0 * (side as f64).powi(3) / product, bytes: bytes / copy })
    }
}

struct Table<'a> {
    floors: &'a Floors,
    size: usize,
}

impl Table<'_> {
    /// Prints a line and returns the milliseconds.
    fn line(&mut self, name: &str, flops: usize, words: usize, f: impl FnMut() -> Result<()>) -> Result<f64> {
        let seconds = least(f)?;
        let (flops, bytes) = (flops as f64, (words * self.size) as f64);
        let floor = (flops / self.floors.flops).max(bytes / self.floors.bytes);
        println!(
            "{name:34}{:9.2}{:10.0}{:8.1}{:9.2}{:8.2}",
            seconds * 1e3,
            flops / seconds / 1e9,
            bytes / seconds / 1e9,
            floor * 1e3,
            seconds / floor
        );
        Ok(seconds * 1e3)
    }
}

/// Every operation of the step. Returns the milliseconds of AdamW's pass.
fn operations<E: FaerElement>(table: &mut Table<'_>, m: usize, n: usize, k: usize) -> Result<f64> {
    let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
    let (mut x, mut momentum, gradient) = (random::<E>(m, n), random::<E>(m, n), random::<E>(m, n));
    let (v, mut p, mut z, mut gram) =
        (random::<E>(n, k), random::<E>(m, k), random::<E>(n, k), random::<E>(k, k));
    let (all, product, gradient) = (m * n, 2 * m * n * k, Gradient::new(&gradient));

    table.line("P = M V", product, all, || p.gemm(zero, one, &momentum, Op::Plain, &v, Op::Plain))?;
    table.line("Z = M^T P", product, all, || z.gemm(zero, one, &momentum, Op::Transposed, &p, Op::Plain))?;
    table.line("X += P V^T", product, 2 * all, || {
        x.gemm(one, 1e-6.into(), &p, Op::Plain, &v, Op::Transposed)
    })?;
    table.line("P^T P, one triangle", m * k * k, m * k, || {
        gram.gemm_symmetric(zero, one, &p, Op::Transposed, &p, Op::Plain)
    })?;
    table.line("<M, M>", 2 * all, all, || momentum.dot(&momentum).map(drop))?;
    table.line("max |M|", all, all, || momentum.max_abs().map(drop))?;
    table.line("M = mu M + G", 3 * all, 3 * all, || momentum.scale_add(0.95.into(), one, gradient.values))?;
    table.line("power_sweep with momentum", 2 * product, 3 * all, || {
        momentum.power_sweep(Some((0.95, &gradient)), 1.0, &v, &mut p, &mut gram, &mut z).map(drop)
    })?;
    table.line("low_rank_add", product, 3 * all, || {
        x.low_rank_add(0.999.into(), 1e-3.into(), &momentum, &p, &v)
    })?;
    let mut second = random::<E>(m, n);
    second.values_mut().iter_mut().for_each(|x| *x = num_traits::Float::abs(*x));
    table.line("adam_add", 12 * all, 7 * all, || {
        x.adam_add(0.999.into(), 1e-3.into(), &mut momentum, &mut second, &gradient, (0.9, 0.999), 1e-8)
    })
}

/// Momentum, tail shrink and weight update as the optimizer does them. Returns the milliseconds.
fn whole_step<E: FaerElement>(table: &mut Table<'_>, m: usize, n: usize, k: usize) -> Result<f64> {
    let (mut x, mut momentum, gradient) = (random::<E>(m, n), random::<E>(m, n), random::<E>(m, n));
    let (options, mut cache, mut step) = (TailShrink::default(), None, 0);
    let mut workspace = Workspace::new(Faer::<E>::new());
    let mut run = || {
        let update = Some((0.95, &Gradient::new(&gradient)));
        let shaped = tail_shrink(&options, &mut momentum, update, &mut cache, step, &mut workspace)?;
        step += 1;
        let rate = 2e-4 * ((m * n) as f64 / shaped.norm_squared).sqrt();
        if let Some((left, right)) = &shaped.correction {
            x.low_rank_add(0.999.into(), (-rate).into(), &momentum, left, right)?;
        }
        shaped.release(&mut workspace);
        Ok(())
    };
    run()?;
    table.line("whole Spectra step", 6 * m * n * k, 6 * m * n, run)
}
