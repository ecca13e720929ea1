//! The spectral maps against the exact singular value decomposition, over spectra and over seven decades of
//! `sigma_1 / c`.

use spectra_conformance::HostMatrix;
use spectra_conformance::distance::relative_error;
use spectra_conformance::inputs::{generator, orthonormal};
use spectra_conformance::oracle::Svd;
use spectra_core::backend::{Backend, Element, Matrix, Result};
use spectra_core::dense::Dense;
use spectra_core::faer::Faer;
use spectra_core::linalg::{Info, Workspace};
use spectra_core::maps::{HardClip, SoftClip, Threshold};

/// Singular value `i` of `r`, relative to c, for the largest one given.
type Spectrum = fn(usize, usize, f64) -> f64;

const SPECTRA: [(&str, Spectrum); 7] = [
    (
        "spiked",
        |i, r, top| if i < 3 { top / (1.0 + i as f64) } else { (1.0 - i as f64 / r as f64) * top.min(1.0) },
    ),
    ("flat", |_, _, top| top),
    ("linear", |i, r, top| top * (1.0 - i as f64 / r as f64)),
    ("graded", |i, r, top| top * 10f64.powf(-6.0 * i as f64 / (r - 1) as f64)),
    ("half large", |i, r, top| if i < r / 2 { top } else { top.min(0.6) }),
    ("deficient, flat", |i, r, top| if i < r / 3 { top } else { 0.0 }),
    (
        "deficient, graded",
        |i, r, top| if i < r / 2 { top * 10f64.powf(-5.0 * i as f64 / r as f64) } else { 0.0 },
    ),
];

/// A map, and what it makes of a singular value.
type Map<B> = (
    &'static str,
    fn(&<B as Backend>::Matrix, &mut <B as Backend>::Matrix, &mut Workspace<B>) -> Result<Info>,
    fn(f64) -> f64,
);

/// The worst relative error of each map must stay within `tolerance`, plus what the input's own rounding and the
/// decomposition in double precision leave open: a few `eps sigma_1 / ||result||`.
fn check<B: Backend>(backend: &B, shape: (usize, usize), maps: &[Map<B>], tolerance: f64) {
    let (m, n) = shape;
    let r = m.min(n);
    let mut workspace = Workspace::new(backend.clone());
    for (name, spectrum) in SPECTRA {
        let rng = &mut generator(name);
        let (u, v) = (orthonormal(m, r, rng), orthonormal(n, r, rng));
        for top in [1e-3, 0.1, 0.97, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 1e4] {
            let sigma = (0..r).map(|i| spectrum(i, r, top)).collect();
            let x = Svd { u: u.clone(), sigma, v: v.clone() };
            let x = x.with_values(&x.sigma.clone());
            let values: Vec<B::Element> = x.data.iter().map(|x| B::Element::narrow(*x)).collect();
            let rounded = HostMatrix::from_data(m, n, values.iter().map(|x| x.widen()).collect());
            let exact = Svd::of(&rounded).expect("decomposition");
            let matrix = backend.upload(m, n, &values).expect("upload");
            let mut out = backend.zeros(m, n, None).expect("zeros");
            for (map, apply, at) in maps {
                let info = apply(&matrix, &mut out, &mut workspace)
                    .unwrap_or_else(|e| panic!("{map}, {name}, {top}: {e}"));
                let mut computed = values.clone();
                out.read(&mut computed).expect("read");
                let computed = HostMatrix::from_data(m, n, computed.iter().map(|x| x.widen()).collect());
                let mapped: Vec<f64> = exact.sigma.iter().map(|s| at(*s)).collect();
                let expected = exact.with_values(&mapped);
                let norm = expected.frobenius_norm();
                if norm <= 1e-3 * tolerance * top {
                    // Nothing above the threshold but rounding.
                    assert!(computed.frobenius_norm() <= tolerance * (1.0 + top), "{map}, {name}, {top}");
                    continue;
                }
                let open = 8.0 * f64::EPSILON * rounded.frobenius_norm() / norm;
                let error = relative_error(&computed, &expected);
                let most = tolerance + open;
                assert!(error <= most, "{map}, {name}, sigma_1 / c = {top}: {error:e} > {most:e}, {info:?}");
                if let Some(certificate) = info.certificate {
                    // Up to rounding, here and in the decomposition.
                    let certificate = certificate + 16.0 * B::Element::EPSILON * rounded.frobenius_norm();
                    let above = exact.sigma.get(info.deflated).copied().unwrap_or(0.0);
                    assert!(certificate >= above * (1.0 - 1e-6), "{map}, {name}, {top}: {info:?}, {above}");
                }
            }
        }
    }
}

fn soft<B: Backend>() -> [Map<B>; 1] {
    [("soft clip", |x, out, w| SoftClip::default().apply(x, 1.0, out, w), |s| s / s.hypot(1.0))]
}

fn others<B: Backend>() -> [Map<B>; 3] {
    const ELASTIC: Threshold = Threshold::Elastic { t: 1.0, b: 2.0, radius: 3.0 };
    [
        ("hard clip", |x, out, w| HardClip::default().apply(x, 1.0, out, w), |s| s.min(1.0)),
        ("soft threshold", |x, out, w| Threshold::Soft { t: 1.0 }.apply(x, out, w), |s| (s - 1.0).max(0.0)),
        ("elastic", |x, out, w| ELASTIC.apply(x, out, w), |s| ((s - 1.0).max(0.0) / 2.0).min(3.0)),
    ]
}

#[test]
fn soft_clip() {
    for shape in [(48, 80), (90, 40), (5, 7)] {
        check(&Faer::<f32>::new(), shape, &soft(), 1e-5);
        check(&Faer::<f64>::new(), shape, &soft(), 1e-12);
    }
    for shape in [(12, 20), (17, 9)] {
        check(&Dense::<f32>::new(), shape, &soft(), 1e-5);
        check(&Dense::<f64>::new(), shape, &soft(), 1e-12);
    }
}

/// Values that crowd at the threshold leave some of the hard maps to polar factors, with `10 eps sigma_1`.
#[test]
fn hard_clip_and_thresholds() {
    for shape in [(48, 80), (90, 40)] {
        check(&Faer::<f32>::new(), shape, &others(), 1e-4);
        check(&Faer::<f64>::new(), shape, &others(), 1e-11);
    }
}
