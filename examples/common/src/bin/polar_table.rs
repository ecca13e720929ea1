//! What each set of coefficients costs and gives: distance to the exact polar factor, steps, products and flops, in `f64`, `f32`, and with every
//! stored matrix rounded to fp16 or bf16 (accumulated in `f32`).
//!
//! ```text
//! cargo run --release --bin polar_table [-- FILE.safetensors]
//! ```
//!
//! With a saved state, also momenta of that training: the largest, the smallest, and two between.

#[path = "../../../../spectra-core/tests/suite/emulated/mod.rs"]
mod emulated;

use clap::Parser;
use emulated::{Rounded, flops};
use faer::Mat;
use spectra_core::backend::{Backend, Element, Matrix, Result};
use spectra_core::faer::Faer;
use spectra_core::linalg::{
    GramForm, Info, Normalization, Polar, Schedule, SixteenBits, Steps, Workspace, uniform,
};
use spectra_core::maps::{HardClip, SoftClip};
use spectra_examples::{Failure, report};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What each set of coefficients of the polar factor costs and gives
#[derive(Parser)]
struct Arguments {
    /// A saved state, whose momenta are added
    file: Option<PathBuf>,
}

fn main() -> ExitCode {
    report(|| {
        // First of all: a file that is none is said at once.
        let momenta = match Arguments::parse().file {
            Some(path) => momenta(&path).map_err(|e| Failure::input(format!("{}: {e}", path.display())))?,
            None => Vec::new(),
        };
        tables(momenta).map_err(Failure::run)
    })
}

fn tables(momenta: Named) -> Result<()> {
    println!(
        "Relative Frobenius distance to the exact polar factor. Cost: steps, products, and flops over r^3 with symmetric products at half"
    );
    println!(
        "price, of the f32 run; fp16 and bf16 may take a restart more. rms of |1 - sigma| for those that do not converge is the distance."
    );
    polar_tables("Gauss, 256 x 896", &gauss(256, 896));
    polar_tables("Gauss, 256 x 256", &gauss(256, 256));
    for exponent in [1, 2, 3] {
        let x = matrix(192, 384, |i| 10f64.powf(-f64::from(exponent) * i as f64 / 191.0));
        polar_tables(&format!("sigma log-spaced from 1 to 1e-{exponent}, 192 x 384"), &x);
    }
    for (name, x) in momenta {
        polar_tables(&format!("{name}, {} x {}", x.nrows(), x.ncols()), &x);
    }
    clip_tables()
}

/// By name.
fn sets() -> Vec<(&'static str, Polar)> {
    let gram = |schedule, steps, lower| Polar {
        schedule,
        steps: Steps::Fixed(steps),
        lower,
        normalization: Normalization::Gram,
        gram: GramForm::Longest,
    };
    vec![
        ("MUON", Polar::MUON),
        ("YOU", Polar::YOU),
        ("CANS", Polar::CANS),
        ("POLAR_EXPRESS_SHORT", Polar::POLAR_EXPRESS_SHORT),
        ("POLAR_EXPRESS_PAPER", Polar::POLAR_EXPRESS_PAPER),
        ("Gram bound, [0.1, 1], 3 steps", gram(Schedule::POLAR_EXPRESS, 3, 0.1)),
        ("GRAM (muon-gram)", Polar::GRAM),
        ("to(1e-1)", Polar::to(1e-1)),
        ("to(1e-2)", Polar::to(1e-2)),
        ("to(1e-3)", Polar::to(1e-3)),
        ("EXACT", Polar::EXACT),
    ]
}

/// One of the narrow formats; `None` is f32 itself.
const FORMATS: [Option<SixteenBits>; 3] = [None, Some(SixteenBits::F16), Some(SixteenBits::Bf16)];

fn polar_tables(name: &str, x: &Mat<f64>) {
    // Squares of 1e-9 would be lost in 16 bits; a scale changes nothing else.
    let largest = x.norm_max();
    let x = x * faer::Scale(1.0 / largest);
    let Ok(svd) = x.thin_svd() else { return println!("\n{name}: no SVD") };
    let exact = svd.U() * svd.V().transpose();
    let values: Vec<f64> = svd.S().column_vector().iter().copied().collect();
    let norm = |p: f64| values.iter().map(|s| s.powf(p)).sum::<f64>().powf(1.0 / p);
    let (first, last) = (values[0], values[values.len() - 1]);
    println!(
        "\n## {name}\n\n||X||_F / sigma_1 = {:.1}, b / sigma_1 = {:.2}, sigma_r / b = {:.1e}, a tenth of sigma below {:.1e} b\n",
        norm(2.0) / first,
        norm(8.0) / first,
        last / norm(8.0),
        values[values.len() * 9 / 10] / norm(8.0)
    );
    println!(
        "| coefficients | steps | products | flops / r^3 | f64 | f32 | fp16 | bf16 |\n|---|---|---|---|---|---|---|---|"
    );
    for (set, polar) in sets() {
        let wide = run(Faer::<f64>::new(), &x, &exact, |x, out, w| polar.apply(x, out, w));
        let narrow = FORMATS.map(|format| {
            run(Rounded(Faer::<f32>::new(), format), &x, &exact, |x, out, w| polar.apply(x, out, w))
        });
        let error = |cell: &Result<Cell>| cell.as_ref().map_or("error".into(), |cell| number(cell.error));
        let cost = narrow[0].as_ref().map_or(String::new(), |cell| {
            format!("{} | {} | {:.1}", cell.info.steps, cell.info.products, cell.units)
        });
        let cells: Vec<String> = core::iter::once(&wide).chain(&narrow).map(error).collect();
        println!("| {set} | {cost} | {} |", cells.join(" | "));
    }
}

fn clip_tables() -> Result<()> {
    println!("\n## Soft clip, 192 x 384, sigma log-spaced from rho c over four decades\n");
    println!("Relative Frobenius error / products + directions deflated.\n");
    println!("| rho | f64 | f32 | fp16 | bf16 |\n|---|---|---|---|---|");
    for rho in [1.0, 3.0, 10.0, 30.0, 100.0, 1000.0] {
        let x = matrix(192, 384, |i| rho * 10f64.powf(-4.0 * i as f64 / 191.0));
        let exact = matrix(192, 384, |i| {
            let s: f64 = rho * 10f64.powf(-4.0 * i as f64 / 191.0);
            s / (1.0 + s * s).sqrt()
        });
        let clip = SoftClip::AUTO;
        let wide = run(Faer::<f64>::new(), &x, &exact, |x, out, w| clip.apply(x, 1.0, out, w));
        let narrow = FORMATS.map(|format| {
            run(Rounded(Faer::<f32>::new(), format), &x, &exact, |x, out, w| clip.apply(x, 1.0, out, w))
        });
        let cells: Vec<String> = core::iter::once(&wide)
            .chain(&narrow)
            .map(|cell| match cell {
                Ok(Cell { error, info, .. }) if info.deflated > 0 => {
                    format!("{} / {} + {}", number(*error), info.products, info.deflated)
                }
                Ok(Cell { error, info, .. }) => format!("{} / {}", number(*error), info.products),
                Err(error) => error.to_string(),
            })
            .collect();
        println!("| {rho} | {} |", cells.join(" | "));
    }

    println!("\n## Hard clip against soft clip, f32, Gauss 256 x 896 with this share of sigma above c\n");
    println!(
        "| share | rho | form | error | products | flops / r^3 | soft clip's products | flops / r^3 |\n|---|---|---|---|---|---|---|---|"
    );
    let x = gauss(256, 896);
    let Ok(svd) = x.thin_svd() else { return Ok(()) };
    let sigma: Vec<f64> = svd.S().column_vector().iter().copied().collect();
    for share in [0.01, 0.05, 0.2, 0.5, 0.9, 1.0] {
        let c = sigma[((share * 256.0) as usize).min(255)] * if share == 1.0 { 0.5 } else { 1.0 };
        let clipped = Mat::from_fn(256, 256, |i, j| svd.U()[(i, j)] * sigma[j].min(c)) * svd.V().transpose();
        let backend = || Rounded(Faer::<f32>::new(), None);
        let hard = run(backend(), &x, &clipped, |x, out, w| HardClip::AUTO.apply(x, c, out, w))?;
        let soft = run(backend(), &x, &clipped, |x, out, w| SoftClip::AUTO.apply(x, c, out, w))?;
        println!(
            "| {share} | {:.1} | {:?} + {} | {} | {} | {:.1} | {} | {:.1} |",
            sigma[0] / c,
            hard.info.form,
            hard.info.deflated,
            number(hard.error),
            hard.info.products,
            hard.units,
            soft.info.products,
            soft.units
        );
    }
    Ok(())
}

/// What a map did.
struct Cell {
    error: f64,
    info: Info,
    units: f64,
}

fn run<B: Backend>(
    backend: B,
    x: &Mat<f64>,
    exact: &Mat<f64>,
    map: impl Fn(&B::Matrix, &mut B::Matrix, &mut Workspace<B>) -> Result<Info>,
) -> Result<Cell> {
    let (m, n) = (x.nrows(), x.ncols());
    let values: Vec<B::Element> = (0..m * n).map(|i| B::Element::narrow(x[(i / n, i % n)])).collect();
    let input = backend.upload(m, n, &values)?;
    let mut out = backend.zeros(m, n, None)?;
    flops();
    let info = map(&input, &mut out, &mut Workspace::new(backend))?;
    let r = m.min(n) as f64;
    let units = flops() / (r * r * r);
    let mut result = values;
    out.read(&mut result)?;
    let difference = Mat::from_fn(m, n, |i, j| result[i * n + j].widen() - exact[(i, j)]);
    Ok(Cell { error: difference.norm_l2() / exact.norm_l2(), info, units })
}

/// Above 1 or not a number: x.
fn number(error: f64) -> String {
    if error < 1.0 { format!("{error:.1e}") } else { "x".into() }
}

fn normal(seed: u64, i: usize, j: usize) -> f64 {
    // Irwin and Hall's sum of twelve, on [-1, 1].
    (0..12).map(|k| uniform(seed + k, i, j)).sum::<f64>() / 2.0
}

fn gauss(m: usize, n: usize) -> Mat<f64> {
    Mat::from_fn(m, n, |i, j| normal(100, i, j))
}

/// A matrix with the given singular values and random singular vectors.
fn matrix(m: usize, n: usize, sigma: impl Fn(usize) -> f64) -> Mat<f64> {
    let r = m.min(n);
    let basis =
        |rows: usize, seed: u64| Mat::from_fn(rows, r, |i, j| normal(seed, i, j)).qr().compute_thin_Q();
    let (u, v) = (basis(m, 200), basis(n, 300));
    Mat::from_fn(m, r, |i, j| u[(i, j)] * sigma(j)) * v.transpose()
}

/// Matrices with their names.
type Named = Vec<(String, Mat<f64>)>;

/// Four of the momenta in a saved state, smallest to largest.
fn momenta(path: &Path) -> std::result::Result<Named, Box<dyn std::error::Error>> {
    let file = std::fs::read(path)?;
    let length = usize::try_from(u64::from_le_bytes(file.get(..8).ok_or("too short")?.try_into()?))?;
    let end = length.checked_add(8).ok_or("a header without end")?;
    let header: serde_json::Value = serde_json::from_slice(file.get(8..end).ok_or("too short")?)?;
    let mut found = Vec::new();
    for (name, entry) in header.as_object().ok_or("no header")? {
        let numbers = |field: &str| -> Vec<usize> {
            let list = entry[field].as_array().map(Vec::as_slice).unwrap_or_default();
            list.iter().filter_map(|x| usize::try_from(x.as_u64()?).ok()).collect()
        };
        let (shape, range) = (numbers("shape"), numbers("data_offsets"));
        let (&[rows, cols], &[start, stop]) = (&shape[..], &range[..]) else { continue };
        if !name.ends_with(".momentum") || entry["dtype"] != "F32" || rows.min(cols) < 32 {
            continue;
        }
        let bytes = file.get(end + start..end + stop).ok_or("too short")?;
        let values: Vec<f32> = bytes.chunks_exact(4).map(<f32 as Element>::get).collect();
        found.push((name.clone(), Mat::from_fn(rows, cols, |i, j| f64::from(values[i * cols + j]))));
    }
    found.sort_by_key(|(name, x)| (x.nrows() * x.ncols(), name.clone()));
    let count = found.len();
    let picked = [0, count / 3, 2 * count / 3, count.saturating_sub(1)];
    Ok(found.into_iter().enumerate().filter(|(i, _)| picked.contains(i)).map(|(_, one)| one).collect())
}
