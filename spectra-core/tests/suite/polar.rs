//! The polar factor, the soft and the hard clip on matrices whose singular values are known: errors in every format, and products counted.

use crate::emulated::{Rounded, in_its_basis, with_values};
use spectra_core::backend::{Backend, Element, Matrix, Result};
use spectra_core::dense::Dense;
use spectra_core::linalg::{
    Form, GramForm, Info, Normalization, OddPolynomial, Polar, SixteenBits, Workspace,
};
use spectra_core::maps::{HardClip, HardClipMethod, SoftClip};

const R: usize = 32;

/// What the map makes of `U diag(sigma) V^T`, r x n, in the basis of U and V.
fn run<B: Backend>(
    backend: B,
    sigma: &[f64],
    n: usize,
    map: impl Fn(&B::Matrix, &mut B::Matrix, &mut Workspace<B>) -> Result<Info>,
) -> (Vec<f64>, Info) {
    let (narrow, r) = (|x: &f64| B::Element::narrow(*x), sigma.len());
    let values: Vec<B::Element> = with_values(sigma, n).values().iter().map(narrow).collect();
    let x = backend.upload(r, n, &values).unwrap();
    let mut out = backend.upload(r, n, &vec![narrow(&f64::NAN); r * n]).unwrap();
    let info = map(&x, &mut out, &mut Workspace::new(backend)).unwrap();
    let mut result = vec![narrow(&0.0); r * n];
    out.read(&mut result).unwrap();
    let result: Vec<f64> = result.iter().map(|x| x.widen()).collect();
    (in_its_basis(&result, r, n).values().to_vec(), info)
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt()
}

/// The distance of this r x r matrix to `diag(exact)` in the Frobenius norm.
fn distance(found: &[f64], exact: &[f64]) -> f64 {
    let r = exact.len();
    norm((0..r * r).map(|i| found[i] - if i % r == i / r { exact[i % r] } else { 0.0 }))
}

/// `1.01 (sum sigma^8)^(1/8)`
fn divisor(sigma: &[f64]) -> f64 {
    1.01 * sigma.iter().map(|s| s.powi(8)).sum::<f64>().powf(0.125)
}

fn graded(least: f64) -> Vec<f64> {
    (0..R).map(|i| 3.0 * least.powf(i as f64 / (R - 1) as f64)).collect()
}

#[test]
fn to_a_wanted_error_in_one_step_more_than_the_spectrum_needs() {
    let deficient: Vec<f64> = (0..R).map(|i| if i < 20 { 2.0 } else { 0.0 }).collect();
    for (name, sigma) in [
        ("flat", vec![2.0; R]),
        ("to 0.2", graded(0.2)),
        ("to 0.05", graded(0.05)),
        ("to 0.004", graded(0.004)),
        ("to 1e-6", graded(1e-6)),
        ("rank 20", deficient),
        ("rank 1", (0..R).map(|i| if i == 0 { 5.0 } else { 0.0 }).collect()),
    ] {
        for (error, n) in [(0.1, R), (1e-2, 64), (1e-4, R), (1e-9, 64)] {
            let polar = Polar::to(error);
            let (found, info) = run(Dense::<f64>::new(), &sigma, n, |x, out, w| polar.apply(x, out, w));
            let what = format!("{name} to {error:e}, {R} x {n}: {info:?}");
            let least = sigma.iter().fold(f64::INFINITY, |a, s| a.min(*s)) / divisor(&sigma);
            let covered = info.covered_from.expect(&what);
            // Proven of all where none is below the least that is looked for.
            assert_eq!(covered == 0.0, least >= polar.lower, "{what}");
            let exact: Vec<f64> = (0..R)
                .map(|i| {
                    let (value, here) = (sigma[i] / divisor(&sigma), found[i * R + i]);
                    if value < covered { here } else { 1.0 }
                })
                .collect();
            // Rounding: u / l of X in a few steps, l >= 1e-3.
            let rounding = 20.0 * f64::EPSILON / 1e-3;
            let most = (0..R).map(|i| (found[i * R + i] - exact[i]).abs()).fold(0.0, f64::max);
            assert!(most <= error + rounding && info.accuracy.unwrap() <= error, "{what}: {most:e}");
            // What has not arrived is between 0 and 1 in size, and no other direction is touched.
            assert!(found.iter().all(|x| x.abs() <= 1.0 + error + rounding), "{what}");
            assert!(distance(&found, &exact) <= (R as f64).sqrt() * (error + rounding), "{what}");
            let (needed, _) =
                spectra_core::linalg::Schedule::Minimax.count(least.clamp(polar.lower, 0.1), error);
            assert!(info.steps <= needed + 1, "{what}: {needed} are enough");
        }
    }
}

#[test]
fn a_zero_matrix_stays_zero_in_every_form() {
    for polar in [Polar::GRAM, Polar::to(1e-3)] {
        let (found, _) = run(Dense::<f32>::new(), &[0.0; R], 64, |x, out, w| polar.apply(x, out, w));
        assert!(found.iter().all(|x| *x == 0.0), "{polar:?}");
    }
}

/// The values of the polynomials, whichever way: `u / x` of X for each of the matrices that X becomes, and what one rounding of R makes
/// of them in so many steps, bounded by the limit that chooses their number: a tenth of the 0.098 that the four steps leave.
#[test]
fn longest_segments_give_the_same_values() {
    let sigma = graded(0.02);
    let start = sigma.iter().map(|s| s / divisor(&sigma));
    let polynomials: Vec<OddPolynomial> = Polar::GRAM.schedule.polynomials(Polar::GRAM.lower, 4).collect();
    let exact: Vec<f64> = start.map(|x| polynomials.iter().fold(x, |x, p| p.at(x))).collect();
    let apply = |polar: Polar| move |x: &_, out: &mut _, w: &mut _| polar.apply(x, out, w);
    for gram in [GramForm::Never, GramForm::Always, GramForm::Longest] {
        let polar = Polar { gram, ..Polar::GRAM };
        let (found, info) = run(Dense::<f64>::new(), &sigma, 128, apply(polar));
        assert!(distance(&found, &exact) < 1e-12, "{gram:?}: {:e}", distance(&found, &exact));
        // 3 a step; 7 for two on one Gram matrix; 4 steps on one: it, 4 of W, 3 of Q, 6 of R, Q X.
        let products = match gram {
            GramForm::Never => 12,
            GramForm::Always => 14,
            _ => 15,
        };
        assert_eq!((info.steps, info.products), (4, products), "{gram:?}");
    }
    for (format, products) in [(None, 15), (Some(SixteenBits::F16), 14), (Some(SixteenBits::Bf16), 14)] {
        let backend = Rounded(Dense::<f32>::new(), format);
        let u = backend.product_epsilon() / 2.0;
        let (found, info) = run(backend, &sigma, 128, |x, out, w| Polar::GRAM.apply(x, out, w));
        let least = sigma[R - 1] / divisor(&sigma);
        let allowed = 5.0 * u / least + 0.0098;
        let error = distance(&found, &exact) / norm(exact.iter().copied());
        println!("{format:?}: {error:.1e} of {allowed:.1e} allowed, {} products", info.products);
        assert!(error <= allowed, "{format:?}: {error:e} > {allowed:e}");
        assert_eq!(info.products, products, "{format:?}");
    }
}

/// The bound is that of the first step: no product more, and steps that depend on the scale of X as little as any.
#[test]
fn the_gram_bound_takes_no_product() {
    let sigma = graded(0.1);
    let other = Polar { normalization: Normalization::Frobenius, ..Polar::GRAM };
    for (gram, n) in [(GramForm::Never, 64), (GramForm::Always, 64), (GramForm::Auto, R)] {
        let count = |polar: Polar| {
            run(Dense::<f32>::new(), &sigma, n, |x, out, w| Polar { gram, ..polar }.apply(x, out, w))
                .1
                .products
        };
        assert_eq!(count(Polar::GRAM), count(other), "{gram:?}");
    }
    let huge: Vec<f64> = sigma.iter().map(|s| s * 1e30).collect();
    let at = |sigma: &[f64]| run(Dense::<f32>::new(), sigma, 64, |x, out, w| Polar::GRAM.apply(x, out, w)).0;
    let (here, there) = (at(&sigma), at(&huge));
    // 1e30 is no power of two: X differs by u, relative to its norm, and the steps by their slope of 223.
    let error = norm(here.iter().zip(&there).map(|(a, b)| a - b));
    assert!(error <= 223.0 * 1.2e-7 * norm(sigma.iter().copied()) / divisor(&sigma), "{error:e}");
}

/// `4 s - 1` products of s steps, one less if the last is a cubic, one more for each restart after the first.
#[test]
fn soft_clip_restarts() {
    for (rho, restarts, format) in [
        (3.0, 0, None),
        (30.0, 1, None),
        (100.0, 1, None),
        (1000.0, 2, None),
        (10.0, 1, Some(SixteenBits::F16)),
        (10.0, 1, Some(SixteenBits::Bf16)),
    ] {
        // A flat spectrum has nothing to deflate; one value is small, or nothing would be lost.
        for small in [1.0, 0.5 / rho] {
            let sigma: Vec<f64> = (0..R).map(|i| if i < R - 2 { rho } else { rho * small }).collect();
            let backend = Rounded(Dense::<f32>::new(), format);
            let u = backend.product_epsilon() / 2.0;
            let (found, info) = run(backend, &sigma, 64, |x, out, w| SoftClip::AUTO.apply(x, 1.0, out, w));
            let exact: Vec<f64> = sigma.iter().map(|s| s / (1.0 + s * s).sqrt()).collect();
            let error = distance(&found, &exact) / norm(exact.iter().copied());
            // X is rounded at first, at each restart and at the end, each time by u ||X||, which counts by rho where sigma = c; so does
            // each R from then on, by half of it. The tolerance of a segment, 40 eps, is what it may lose itself.
            let allowed = 80.0 * u + (restarts + 2) as f64 * 1.5 * u * rho;
            println!("{format:?}, rho {rho}: {error:.1e} of {allowed:.1e} allowed, {info:?}");
            assert!(error <= allowed, "{format:?}, rho {rho}: {error:e} > {allowed:e}; {info:?}");
            if info.deflated > 0 {
                // Only where restarts are not good enough.
                assert!(rho == 1000.0, "{info:?}");
                continue;
            }
            let most = 4 * info.steps - 1 + usize::saturating_sub(restarts, 1);
            assert!([most, most - 1].contains(&info.products), "{format:?}, rho {rho}: {most} {info:?}");
        }
    }
}

/// Most values above the threshold: by a sign, three products for each of its steps and four for each of the root's, less than half of what two
/// polar factors take.
#[test]
fn hard_clip_of_many() {
    // Up to 64 are deflated in any case.
    let r = 128;
    for rho in [1.5, 3.0, 10.0, 30.0] {
        let sigma: Vec<f64> = (0..r).map(|i| rho * (1.0 - 0.3 * i as f64 / r as f64)).collect();
        let (found, info) =
            run(Dense::<f32>::new(), &sigma, r, |x, out, w| HardClip::AUTO.apply(x, 1.0, out, w));
        let factors = HardClip { method: HardClipMethod::Polar, ..HardClip::AUTO };
        let (_, two) = run(Dense::<f32>::new(), &sigma, r, |x, out, w| factors.apply(x, 1.0, out, w));
        println!("rho {rho}: {info:?}\n  two polar factors: {two:?}");
        assert_eq!(info.form, Form::Sign, "rho {rho}: {info:?}");
        let exact: Vec<f64> = sigma.iter().map(|s| s.min(1.0)).collect();
        // As documented, in each of r directions at most.
        let allowed = 10.0 * f64::from(f32::EPSILON) * (2.0 * r as f64).sqrt() * rho * (r as f64).sqrt();
        let error = distance(&found, &exact);
        assert!(error <= allowed, "rho {rho}: {error:e} > {allowed:e}");
        assert_eq!(two.form, Form::Polar, "rho {rho}: {two:?}");
        assert!(info.products <= 4 * info.steps + 2, "rho {rho}: {info:?}");
        assert!(2 * info.products <= two.products, "rho {rho}: {} against {}", info.products, two.products);
    }
}
