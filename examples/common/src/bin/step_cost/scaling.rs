//! The whole Spectra step against size and threads.

use spectra_core::backend::Result;
use spectra_core::faer::FaerElement;
use spectra_core::maps::TailShrink;
use spectra_examples::pictures::Panel;

use crate::measure::{Report, least};
use crate::operations::step;

/// Measures, prints, and returns the panels of the picture.
pub(crate) fn table<E: FaerElement>(report: &mut Report, quick: bool) -> Result<Vec<Panel>> {
    // k follows the shorter side: mnk grows as the cube of the scale, 64-fold from every side to four times that.
    let base = if quick { 128 } else { 1024 };
    let sides = [4, 6, 8, 12, 16, 24, 32].map(|quarters| base * quarters / 4);
    report.say("whole Spectra step, side x 2 side");
    report.say(&format!("{:>8}{:>6}{:>12}{:>9}{:>10}", "side", "k", "ms", "floor ms", "GFLOP/s"));
    let (mut measured, mut by_flops, mut by_words) = (Vec::new(), Vec::new(), Vec::new());
    for side in sides {
        let (m, n) = (side, 2 * side);
        let k = TailShrink::default().rank(m, n);
        let (flops, words) = (6 * m * n * k, 6 * m * n);
        let seconds = least(step::<E>(m, n)?)?;
        report.keep::<E>((m, n, k), "whole Spectra step", seconds);
        report.say(&format!(
            "{side:>8}{k:>6}{:>12.3}{:>9.3}{:>10.0}",
            seconds * 1e3,
            report.floor(flops, words) * 1e3,
            flops as f64 / seconds / 1e9
        ));
        let size = (m as f64 * n as f64 * k as f64).log10();
        measured.push((size, seconds * 1e3));
        by_flops.push((size, report.floor(flops, 0) * 1e3));
        by_words.push((size, report.floor(0, words) * 1e3));
    }
    for range in measured.windows(5) {
        let (from, to) = (range[0].0, range[4].0);
        report
            .say(&format!("time grows as (mnk)^{:.2} for mnk from 10^{from:.1} to 10^{to:.1}", slope(range)));
    }
    report.say("");
    let size = Panel {
        title: format!("Spectra step, {}", E::NAME),
        across: "log10 of m n k",
        up: "milliseconds",
        logarithmic: true,
        curves: vec![
            ("measured".into(), measured),
            ("floor: flops".into(), by_flops),
            ("floor: memory".into(), by_words),
        ],
    };
    Ok(vec![size, threads::<E>(report, if quick { (256, 768) } else { (2048, 4096) })?])
}

/// The step with one thread and more, up to all.
fn threads<E: FaerElement>(report: &mut Report, (m, n): (usize, usize)) -> Result<Panel> {
    report.say(&format!("whole Spectra step, {m} x {n}"));
    report.say(&format!("{:>8}{:>12}{:>9}", "threads", "ms", "speedup"));
    let mut points: Vec<(f64, f64)> = Vec::new();
    let all = rayon::current_num_threads();
    for threads in (0..).map(|i| 1 << i).take_while(|threads| *threads < all).chain([all]) {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let Ok(pool) = pool else {
            report.say(&format!("{threads:>8} threads could not be started"));
            continue;
        };
        let seconds = pool.install(|| least(step::<E>(m, n)?))?;
        let one = points.first().map_or(seconds * 1e3, |(_, ms)| *ms);
        report.say(&format!("{threads:>8}{:>12.3}{:>9.2}", seconds * 1e3, one / (seconds * 1e3)));
        points.push((threads as f64, seconds * 1e3));
    }
    report.say("");
    Ok(Panel {
        title: format!("Spectra step, {m} x {n}"),
        across: "threads",
        up: "milliseconds",
        logarithmic: false,
        curves: vec![("measured".into(), points)],
    })
}

/// Of log y against x, by least squares; x is a decimal logarithm already.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |f: fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>() / count;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1.log10()));
    let above: f64 = points.iter().map(|p| (p.0 - x) * (p.1.log10() - y)).sum();
    above / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}
