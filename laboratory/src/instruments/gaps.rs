//! Where a spectrum falls off: three answers to "how many directions are the spike".

use std::f64::consts::PI;

use super::matrix::median;

/// The numbers of leading directions of an m x n matrix, and what they were found by.
///
/// Source: 2602.11185, figures 1 and 9-11, which have an "eigengap" and no formula for it. Trap: `k / r` of 1.5 % at width 128 is
/// k = 2; a k that stays when the width changes is no share. The null is the same of a [Gaussian](super::matrix::gaussian) matrix, which is told apart by k_mp and k_10 alone:
/// its largest ratio of neighbours is somewhere, too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gaps {
    /// `argmax_{i <= r/4} ln(sigma_i / sigma_{i+1})`.
    pub k_gap: usize,
    /// That largest logarithm.
    pub log_ratio: f64,
    /// How many sigma lie above the Marchenko-Pastur [edge](noise_edge) of the lower half.
    pub k_mp: usize,
    /// How many lie above 10 times the median.
    pub k_10: usize,
    /// `sigma_1 / median`.
    pub spike: f64,
}

/// Of singular values in descending order.
pub fn gaps(sigma: &[f64], shape: (usize, usize)) -> Gaps {
    let (edge, middle) = (noise_edge(sigma, shape), median(sigma));
    let ratios = sigma.windows(2).take((sigma.len() / 4).max(1)).map(|pair| (pair[0] / pair[1]).ln());
    let (k_gap, log_ratio) = ratios
        .enumerate()
        .fold((0, f64::NEG_INFINITY), |best, (i, ratio)| if ratio > best.1 { (i + 1, ratio) } else { best });
    let above = |bound: f64| sigma.iter().filter(|&&sigma| sigma > bound).count();
    let spike = sigma.first().map_or(f64::NAN, |first| first / middle);
    Gaps { k_gap, log_ratio, k_mp: above(edge), k_10: above(10.0 * middle), spike }
}

/// The largest singular value that noise would have whose lower half is that of `sigma`: `s (sqrt m + sqrt n)`, with the entries' standard
/// deviation s by least squares of the r/2 smallest against the quantiles of the Marchenko-Pastur law, and the largest of a Gaussian matrix's fluctuations
/// (Tracy-Widom, 99 %) added.
pub fn noise_edge(sigma: &[f64], (m, n): (usize, usize)) -> f64 {
    let r = sigma.len();
    let law = marchenko_pastur((m, n), 4096);
    let lower = r / 2..r;
    // The i-th of r in descending order is the quantile 1 - (i + 1/2) / r.
    let quantile = |i: usize| {
        let q = 1.0 - (i as f64 + 0.5) / r as f64;
        let at = law.partition_point(|(below, _)| *below < q).min(law.len() - 1);
        law[at].1
    };
    let products = lower.clone().map(|i| sigma[i] * quantile(i)).sum::<f64>();
    let squares = lower.map(|i| quantile(i).powi(2)).sum::<f64>();
    let (s, roots) = (products / squares, (m as f64).sqrt() + (n as f64).sqrt());
    // sigma_1^2 = s^2 (mu + tau TW) of a white Wishart matrix (Johnstone 2001); TW_1 has 2.02 as its 99 % quantile.
    let tau = roots * (1.0 / (m as f64).sqrt() + 1.0 / (n as f64).sqrt()).cbrt();
    s * (roots * roots + 2.02 * tau).sqrt()
}

/// Share below and singular value, ascending, of m x n noise of entries with deviation 1.
fn marchenko_pastur((m, n): (usize, usize), points: usize) -> Vec<(f64, f64)> {
    let (short, long) = (m.min(n) as f64, m.max(n) as f64);
    let beta = short / long;
    // x = 1 + beta + 2 sqrt(beta) cos t is an eigenvalue of A A^T / long, of density 2 sin^2 t / (pi x) dt.
    let x = |t: f64| 1.0 + beta + 2.0 * beta.sqrt() * t.cos();
    let step = PI / points as f64;
    let density = |t: f64| 2.0 * t.sin().powi(2) / (PI * x(t).max(1e-12));
    let mut below = 0.0;
    let at = |k: usize| PI - (k as f64 + 0.5) * step;
    let mut law: Vec<(f64, f64)> = (0..points)
        .map(|k| {
            below += density(at(k)) * step;
            (below, (long * x(at(k)).max(0.0)).sqrt())
        })
        .collect();
    law.iter_mut().for_each(|point| point.0 /= below);
    law
}

#[cfg(test)]
mod tests {
    use super::super::matrix::tests::planted;
    use super::super::matrix::{gaussian, singular_values};
    use super::*;

    const SHAPES: [(usize, usize); 3] = [(64, 64), (40, 110), (128, 48)];

    #[test]
    fn noise_has_no_spike() {
        for (i, shape) in SHAPES.into_iter().enumerate() {
            let sigma = singular_values(gaussian(shape.0, shape.1, i as u64).as_ref()).expect("finite");
            let gaps = gaps(&sigma, shape);
            assert_eq!((gaps.k_mp, gaps.k_10), (0, 0), "{shape:?}");
            assert!(gaps.spike < 10.0, "{}", gaps.spike);
            // The edge is that of deviation 1 but for the fit of r/2 values, and a few per cent of fluctuation.
            let edge = noise_edge(&sigma, shape) / ((shape.0 as f64).sqrt() + (shape.1 as f64).sqrt());
            assert!((0.97..1.12).contains(&edge), "{shape:?}: {edge}");
        }
    }

    #[test]
    fn planted_spikes_are_counted_by_all_three() {
        for (i, shape) in SHAPES.into_iter().enumerate() {
            for k in 1..=4 {
                let noise = gaussian(shape.0, shape.1, 10 + i as u64);
                let planted = planted(shape.0, shape.1, &vec![400.0; k], 20 + k as u64);
                let sigma = singular_values((noise + planted).as_ref()).expect("finite");
                let gaps = gaps(&sigma, shape);
                assert_eq!((gaps.k_gap, gaps.k_mp, gaps.k_10), (k, k, k), "{shape:?}");
                // 400 above an edge of at most 18.
                assert!(gaps.log_ratio > (400.0f64 / 18.0).ln() - 0.1);
            }
        }
    }

    /// The law against its own moments: the mean of x is 1, of x^2 1 + beta.
    #[test]
    fn the_law_has_its_moments() {
        for (m, n) in SHAPES {
            let long = m.max(n) as f64;
            let law = marchenko_pastur((m, n), 4096);
            let mut before = 0.0;
            let (mut first, mut second) = (0.0, 0.0);
            for (below, sigma) in law {
                let (share, x) = (below - before, sigma * sigma / long);
                (first, second, before) = (first + share * x, second + share * x * x, below);
            }
            let beta = m.min(n) as f64 / long;
            // A midpoint rule of a periodic analytic integrand; the square's lower edge is a root of x.
            assert!((first - 1.0).abs() < 1e-3 && (second - 1.0 - beta).abs() < 3e-3, "{first} {second}");
        }
    }
}
