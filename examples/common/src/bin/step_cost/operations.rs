//! Every operation of a Spectra step, and the whole step beside AdamW's pass.

use spectra_core::backend::{Backend, Coefficient, Entrywise, Fused, Gradient, Matrix, Op, Result};
use spectra_core::faer::{Faer, FaerElement, FaerMatrix};
use spectra_core::linalg::Workspace;
use spectra_core::maps::{SoftClip, TailShrink, tail_shrink};
use spectra_examples::steps::random;

use crate::measure::{Report, least};

/// Measures and prints one shape.
pub(crate) fn table<E: FaerElement>(report: &mut Report, (m, n): (usize, usize)) -> Result<()> {
    let k = TailShrink::default().rank(m, n);
    report.say(&format!("{m} x {n}, k = {k}"));
    let titles = ["", "ms", "GFLOP/s", "GB/s", "floor ms", "/ floor"];
    let [name, ms, flops, bytes, floor, ratio] = titles;
    report.say(&format!("{name:34}{ms:>9}{flops:>10}{bytes:>8}{floor:>9}{ratio:>8}"));
    let adam = operations::<E>(report, (m, n, k))?;
    let mut step = step::<E>(m, n)?;
    let step = report.line::<E>((m, n, k), "whole Spectra step", (6 * m * n * k, 6 * m * n), &mut step)?;
    let least = report.least_possible(6 * m * n * k);
    report.say(&format!(
        "whole Spectra step / AdamW's pass: {:.2}; its flops on registers alone: {:.2} ({:.2} ms)",
        step / adam,
        least / adam,
        least * 1e3
    ));
    soft_clip::<E>(report, (m, n))?;
    report.say("");
    Ok(())
}

/// The soft clip at a tenth of the largest singular value, to its default accuracy.
fn soft_clip<E: FaerElement>(report: &mut Report, (m, n): (usize, usize)) -> Result<()> {
    let (x, mut out) = (random::<E>(m, n), random::<E>(m, n));
    // Of independent entries with variance 1/3.
    let largest = ((m as f64).sqrt() + (n as f64).sqrt()) / 3f64.sqrt();
    let mut workspace: Workspace<Faer<E>> = Workspace::new(Faer::new());
    let mut products = 0;
    let mut clip = || {
        products = SoftClip::default().apply(&x, largest / 10.0, &mut out, &mut workspace)?.products;
        Ok(())
    };
    clip()?;
    let seconds = least(clip)?;
    let name = "soft clip to 1e-5; sigma_1 / c = 10";
    report.say(&format!("{name:34}{:9.2} in {products} products", seconds * 1e3));
    report.keep::<E>((m, n, 0), name, seconds);
    Ok(())
}

/// Returns the seconds of AdamW's pass.
fn operations<E: FaerElement>(report: &mut Report, shape: (usize, usize, usize)) -> Result<f64> {
    let (m, n, k) = shape;
    let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
    let (mut x, mut momentum, gradient) = (random::<E>(m, n), random::<E>(m, n), random::<E>(m, n));
    let (v, mut p, mut z, mut gram) =
        (random::<E>(n, k), random::<E>(m, k), random::<E>(n, k), random::<E>(k, k));
    let (all, product, gradient) = (m * n, 2 * m * n * k, Gradient::new(&gradient));
    let plain = Op::Plain;

    report.line::<E>(shape, "P = M V", (product, all), || p.gemm(zero, one, &momentum, plain, &v, plain))?;
    report.line::<E>(shape, "Z = M^T P", (product, all), || {
        z.gemm(zero, one, &momentum, Op::Transposed, &p, plain)
    })?;
    report.line::<E>(shape, "P^T P; one triangle", (m * k * k, m * k), || {
        gram.gemm_symmetric(zero, one, &p, Op::Transposed, &p, plain)
    })?;
    report.line::<E>(shape, "<M; M>", (2 * all, all), || momentum.dot(&momentum).map(drop))?;
    report.line::<E>(shape, "max |M|", (all, all), || momentum.max_abs().map(drop))?;
    report.line::<E>(shape, "M = mu M + G", (3 * all, 3 * all), || {
        momentum.scale_add(0.95.into(), one, gradient.values)
    })?;
    report.line::<E>(shape, "sweep with momentum", (2 * product, 3 * all), || {
        momentum.power_sweep(Some((0.95, &gradient)), 1.0, &v, &mut p, &mut gram, &mut z).map(drop)
    })?;
    report.line::<E>(shape, "X += M - L R^T", (product, 3 * all), || {
        x.low_rank_add(0.999.into(), 1e-3.into(), &momentum, &p, &v)
    })?;
    let mut second = random::<E>(m, n);
    second.values_mut().iter_mut().for_each(|x| *x = num_traits::Float::abs(*x));
    let rule = Entrywise::Adam { betas: (0.9, 0.999), eps: 1e-8, slow: None };
    let workspace = &mut Workspace::new(Faer::new());
    report.line::<E>(shape, "AdamW's pass", (12 * all, 7 * all), || {
        let matrices = [&mut x, &mut momentum, &mut second];
        Faer::entrywise_add(matrices, (0.999, -1e-3), rule, &gradient, workspace)
    })
}

/// Momentum, tail shrink and weight update of one matrix as the optimizer does them, after a first step.
pub(crate) fn step<E: FaerElement>(m: usize, n: usize) -> Result<impl FnMut() -> Result<()>> {
    let (mut x, mut momentum, gradient) = (random::<E>(m, n), random::<E>(m, n), random::<E>(m, n));
    let (options, mut cache, mut step) = (TailShrink::default(), None, 0);
    let mut workspace: Workspace<Faer<E>> = Workspace::new(Faer::new());
    let mut run = move || {
        let update = Some((0.95, &Gradient::<FaerMatrix<E>>::new(&gradient)));
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
    Ok(run)
}
