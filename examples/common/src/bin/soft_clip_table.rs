//! The soft spectral clip against the exact singular value decomposition: error and number of matrix products
//! for `sigma_1 / c` from 1e-3 to 1e4, ours (to the element type's accuracy) beside the authors' ten steps.
//!
//! ```text
//! cargo run --release --bin soft_clip_table
//! ```

use faer::Mat;
use spectra_core::backend::{Backend, Element, Matrix, Result};
use spectra_core::faer::{Faer, FaerElement};
use spectra_core::linalg::{Workspace, uniform};
use spectra_core::maps::SoftClip;
use spectra_examples::{Failure, report};
use std::process::ExitCode;

const SHAPE: (usize, usize) = (96, 144);
const RATIOS: [f64; 12] = [1e-3, 1e-2, 0.1, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4];

/// Singular value `i` of `r`, the first being the third argument.
type Spectrum = fn(usize, usize, f64) -> f64;

/// Relative to c = 1, by name.
const SPECTRA: [(&str, Spectrum); 6] = [
    ("three spikes over a tail up to c", |i, r, top| {
        if i < 3 { top * [1.0, 0.9, 0.7][i] } else { (1.0 - i as f64 / r as f64) * top.min(1.0) }
    }),
    ("flat", |_, _, top| top),
    ("linear", |i, r, top| top * (1.0 - i as f64 / r as f64)),
    ("graded over six decades", |i, r, top| top * 10f64.powf(-6.0 * i as f64 / (r - 1) as f64)),
    ("rank r / 2, flat", |i, r, top| if i < r / 2 { top } else { 0.0 }),
    (
        "rank r / 2, graded",
        |i, r, top| if i < r / 2 { top * 10f64.powf(-8.0 * i as f64 / r as f64) } else { 0.0 },
    ),
];

fn main() -> ExitCode {
    report(|| run().map_err(Failure::run))
}

fn run() -> Result<()> {
    println!(
        "{} x {} matrices. Relative error in the Frobenius norm / matrix products of full size (symmetric",
        SHAPE.0, SHAPE.1
    );
    println!(
        "ones included) + directions deflated. The authors' own program takes 32 products; three of them are"
    );
    println!(
        "products with the identity and saved here. Below eps sigma_1 / c (2e-12 in f64 at 10000) the reference"
    );
    println!("decomposition is no more exact than the clip.");
    for (name, spectrum) in SPECTRA {
        println!("\n{name}");
        println!(
            "{:>11} | {:>24} | {:>24} | {:>24} | {:>24}",
            "sigma_1 / c", "ours f32", "authors f32", "ours f64", "authors f64"
        );
        for top in RATIOS {
            print!("{top:>11}");
            for cell in cells::<f32>(spectrum, top)?.into_iter().chain(cells::<f64>(spectrum, top)?) {
                print!(" | {cell:>24}");
            }
            println!();
        }
    }
    Ok(())
}

/// Ours, then the authors'.
fn cells<E: Element + FaerElement>(spectrum: Spectrum, top: f64) -> Result<[String; 2]> {
    let (m, n) = SHAPE;
    let exact = matrix(|i| spectrum(i, m.min(n), top));
    let values: Vec<E> = (0..m * n).map(|i| E::narrow(exact[(i / n, i % n)])).collect();
    // What the rounded matrix's own singular values become.
    let rounded = Mat::from_fn(m, n, |i, j| values[i * n + j].widen());
    let Ok(svd) = rounded.thin_svd() else { return Ok(["no SVD".into(), "no SVD".into()]) };
    let (u, sigma, v) = (svd.U(), svd.S().column_vector(), svd.V());
    let scaled = Mat::from_fn(m, m.min(n), |i, j| u[(i, j)] * sigma[j] / (1.0 + sigma[j] * sigma[j]).sqrt());
    let clipped = scaled * v.transpose();

    let backend = Faer::<E>::new();
    let x = backend.upload(m, n, &values)?;
    let mut out = backend.zeros(m, n, None)?;
    let mut workspace = Workspace::new(backend);
    let mut cell = |clip: SoftClip| -> Result<String> {
        let info = clip.apply(&x, 1.0, &mut out, &mut workspace)?;
        let mut computed = vec![E::zero(); m * n];
        out.read(&mut computed)?;
        let difference = Mat::from_fn(m, n, |i, j| computed[i * n + j].widen() - clipped[(i, j)]);
        let deflated = if info.deflated > 0 { format!(" + {:>2} dir", info.deflated) } else { " ".repeat(9) };
        Ok(format!("{:.1e} / {:>2}{deflated}", difference.norm_l2() / clipped.norm_l2(), info.products))
    };
    Ok([cell(SoftClip::default())?, cell(SoftClip::OFFICIAL)?])
}

/// A matrix with the given singular values and random singular vectors.
fn matrix(sigma: impl Fn(usize) -> f64) -> Mat<f64> {
    let (m, n) = SHAPE;
    let r = m.min(n);
    let basis = |rows: usize, seed: u64| {
        Mat::from_fn(rows, r, |i, j| (0..6).map(|k| uniform(seed + k, i, j)).sum::<f64>())
            .qr()
            .compute_thin_Q()
    };
    let (u, v) = (basis(m, 10), basis(n, 20));
    Mat::from_fn(m, r, |i, j| u[(i, j)] * sigma(j)) * v.transpose()
}
