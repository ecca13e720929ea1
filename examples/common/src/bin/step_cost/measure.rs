//! Times, floors and the lines of the tables.

use std::fmt::Write as _;
use std::time::Instant;

use spectra_core::backend::{Coefficient, Matrix, Op, Result};
use spectra_core::faer::FaerElement;
use spectra_examples::steps::random;

use crate::machine;

/// The least of at least three runs and half a second, in seconds.
pub(crate) fn least(mut f: impl FnMut() -> Result<()>) -> Result<f64> {
    let (start, mut least, mut runs) = (Instant::now(), f64::INFINITY, 0);
    while runs < 3 || start.elapsed().as_secs_f64() < 0.5 {
        let start = Instant::now();
        f()?;
        least = least.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    Ok(least)
}

/// What has been printed and measured.
pub(crate) struct Report {
    /// Flops per second of a square product.
    flops: f64,
    /// Flops per second of multiply-adds on registers: what no product can exceed.
    multipliers: f64,
    /// Bytes per second of `y = y / 2 + x` much larger than the caches, reads and writes counted.
    bytes: f64,
    size: usize,
    text: String,
    csv: String,
}

impl Report {
    /// Measures the floors.
    pub(crate) fn new<E: FaerElement>() -> Result<Self> {
        let side = 2048;
        let (a, mut out) = (random::<E>(side, side), random::<E>(side, side));
        let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
        let product = least(|| out.gemm(zero, one, &a, Op::Plain, &a, Op::Plain))?;
        let (x, mut y) = (random::<E>(4096, 8192), random::<E>(4096, 8192));
        let pass = least(|| y.scale_add(0.5.into(), one, &x))?;
        let size = size_of::<E>();
        let (flops, bytes) =
            (2.0 * (side as f64).powi(3) / product, 3.0 * (4096 * 8192 * size) as f64 / pass);
        let csv = "element,rows,cols,rank,threads,what,milliseconds\n".into();
        let multipliers = machine::multiply_adds() * 4.0 / size as f64;
        let mut report = Self { flops, multipliers, bytes, size, text: String::new(), csv };
        report.say(&format!(
            "{}, {} threads; multiply-adds on registers {:.0} GFLOP/s, square product {:.0}; entrywise pass {:.1} GB/s; a number's \
             way to another thread and back {:.0} ns\n",
            E::NAME,
            rayon::current_num_threads(),
            multipliers / 1e9,
            flops / 1e9,
            bytes / 1e9,
            machine::round_trip() * 1e9
        ));
        Ok(report)
    }

    /// The time so many flops take at the rate of the registers, in seconds.
    pub(crate) fn least_possible(&self, flops: usize) -> f64 {
        flops as f64 / self.multipliers
    }

    /// The time it takes to do so many flops or to move so many words, whichever is longer, in seconds.
    pub(crate) fn floor(&self, flops: usize, words: usize) -> f64 {
        (flops as f64 / self.flops).max((words * self.size) as f64 / self.bytes)
    }

    /// Prints a line.
    pub(crate) fn say(&mut self, line: &str) {
        println!("{line}");
        self.text += line;
        self.text += "\n";
    }

    /// Keeps a measurement for other programs.
    pub(crate) fn keep<E: FaerElement>(
        &mut self,
        (m, n, k): (usize, usize, usize),
        what: &str,
        seconds: f64,
    ) {
        let threads = rayon::current_num_threads();
        // Writing to a string cannot fail.
        let _ = writeln!(self.csv, "{},{m},{n},{k},{threads},{what},{:.4}", E::NAME, seconds * 1e3);
    }

    /// Measures an operation and prints its line beside the floor. Returns the seconds.
    pub(crate) fn line<E: FaerElement>(
        &mut self,
        shape: (usize, usize, usize),
        name: &str,
        (flops, words): (usize, usize),
        f: impl FnMut() -> Result<()>,
    ) -> Result<f64> {
        let seconds = least(f)?;
        let floor = self.floor(flops, words);
        self.say(&format!(
            "{name:34}{:9.2}{:10.0}{:8.1}{:9.2}{:8.2}",
            seconds * 1e3,
            flops as f64 / seconds / 1e9,
            (words * self.size) as f64 / seconds / 1e9,
            floor * 1e3,
            seconds / floor
        ));
        self.keep::<E>(shape, name, seconds);
        Ok(seconds)
    }

    /// Everything printed.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Everything measured.
    pub(crate) fn csv(&self) -> &str {
        &self.csv
    }
}
