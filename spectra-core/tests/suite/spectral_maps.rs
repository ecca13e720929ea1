//! The spectral maps on bad and extreme input, their memory, and `f64` results that are known exactly.

use std::cell::Cell;
use std::rc::Rc;

use spectra_core::backend::{Backend, Element, ErrorKind, Matrix, Result};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::linalg::{Info, Polar, Workspace, uniform};
use spectra_core::maps::{HardClip, HardClipMethod, SoftClip, Threshold};

fn random<E: Element>(m: usize, n: usize, scale: f64) -> DenseMatrix<E> {
    DenseMatrix::from_fn(m, n, |i, j| E::narrow(scale * uniform(7, i, j)))
}

/// A map writing to its first argument.
type Map<'a, E> = &'a dyn Fn(&mut DenseMatrix<E>, &mut Workspace<Dense<E>>) -> Result<Info>;

/// All maps with a threshold, by name.
fn maps<E: Element>(x: &DenseMatrix<E>, c: f64) -> Vec<(&'static str, Result<Info>, DenseMatrix<E>)> {
    let mut workspace = Workspace::new(Dense::<E>::new());
    let mut run = |name, map: Map<'_, E>| {
        // What was in the output before must not matter.
        let mut out = random(x.shape().0, x.shape().1, f64::NAN);
        let info = map(&mut out, &mut workspace);
        (name, info, out)
    };
    let polar = HardClip { method: HardClipMethod::Polar, ..HardClip::default() };
    vec![
        run("soft clip", &|out, w| SoftClip::default().apply(x, c, out, w)),
        run("official soft clip", &|out, w| SoftClip::OFFICIAL.apply(x, c, out, w)),
        run("vector clip", &|out, w| SoftClip::default().apply_vector(x, c, out, w)),
        run("hard clip", &|out, w| HardClip::default().apply(x, c, out, w)),
        run("hard clip, polar", &|out, w| polar.apply(x, c, out, w)),
        run("soft threshold", &|out, w| Threshold::Soft { t: c }.apply(x, out, w)),
        run("elastic", &|out, w| Threshold::Elastic { t: c, b: 1.0, radius: c }.apply(x, out, w)),
        run("bang-bang", &|out, w| Threshold::BangBang { t: c, radius: c }.apply(x, out, w)),
        run("schatten 2", &|out, w| Threshold::SchattenP { p: 2.0, b: 1.0, radius: c }.apply(x, out, w)),
        run("schatten 3", &|out, w| Threshold::SchattenP { p: 3.0, b: 1.0, radius: c }.apply(x, out, w)),
    ]
}

#[test]
fn a_threshold_must_be_positive_and_finite() {
    for c in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        for (name, info, _) in maps(&random::<f32>(4, 3, 1.0), c) {
            let error = info.expect_err(name);
            assert!(matches!(error.kind(), ErrorKind::Argument { .. }), "{name}: {error}");
        }
    }
}

#[test]
fn zero_and_empty_give_zero() {
    for shape in [(4, 3), (3, 4), (1, 4), (4, 1), (0, 4), (4, 0), (0, 0)] {
        for (name, info, out) in maps(&random::<f32>(shape.0, shape.1, 0.0), 2.0) {
            info.unwrap_or_else(|e| panic!("{name} {shape:?}: {e}"));
            assert!(out.values().iter().all(|x| *x == 0.0), "{name} {shape:?}: {:?}", out.values());
        }
        let mut out = random::<f32>(shape.0, shape.1, f64::NAN);
        let mut workspace = Workspace::new(Dense::new());
        for polar in
            [Polar::MUON, Polar::MUON_TORCH, Polar::POLAR_EXPRESS, Polar::GRAM, Polar::exact::<f32>()]
        {
            polar.apply(&random(shape.0, shape.1, 0.0), &mut out, &mut workspace).unwrap();
            assert!(out.values().iter().all(|x| *x == 0.0), "{polar:?} {shape:?}");
        }
    }
}

#[test]
fn a_nan_is_an_error_or_stays() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut x = random::<f32>(5, 4, 1.0);
        x.values_mut()[7] = bad;
        for (name, info, out) in maps(&x, 1.0) {
            match info {
                Err(error) => assert!(matches!(error.kind(), ErrorKind::NonFinite { .. }), "{name}: {error}"),
                Ok(_) => assert!(out.values().iter().any(|x| x.is_nan()), "{name}: {:?}", out.values()),
            }
        }
    }
}

/// `map(s X) = s map(X)` with the threshold scaled too, from one end of the range to the other.
#[test]
fn huge_and_tiny_entries() {
    for (m, n) in [(6, 9), (9, 6), (1, 5), (5, 1)] {
        let x = random::<f32>(m, n, 1.0);
        for scale in [1e-36, 1e-30, 1e-20, 1e-12, 1e12, 1e20, 1e30, 1e37] {
            // A power of two, so that the scaled input is exact.
            let scale = f64::log2(scale).round().exp2();
            let scaled = DenseMatrix::from_fn(m, n, |i, j| (f64::from(x.values()[i * n + j]) * scale) as f32);
            for ((name, info, out), (_, _, plain)) in
                maps(&scaled, 0.8 * scale).into_iter().zip(maps(&x, 0.8))
            {
                // Elastic and Schatten are not homogeneous with b fixed.
                if matches!(name, "elastic" | "schatten 3" | "schatten 2") {
                    let finite = info.is_err() || out.values().iter().all(|x| x.is_finite());
                    assert!(finite, "{name} {scale:e}: {:?}", out.values());
                    continue;
                }
                info.unwrap_or_else(|e| panic!("{name} {m} x {n} {scale:e}: {e}"));
                for (a, b) in out.values().iter().zip(plain.values()) {
                    let error = (f64::from(*a) / scale - f64::from(*b)).abs();
                    assert!(error <= 2e-4, "{name} {m} x {n} {scale:e}: {a} {b}");
                }
            }
        }
        // A clip far below the entries: all singular values become c, none is NaN.
        let huge = random::<f32>(m, n, 1e30);
        for (name, info, out) in maps(&huge, 1.0) {
            if !matches!(name, "elastic" | "schatten 3" | "soft threshold") {
                info.unwrap_or_else(|e| panic!("{name} {m} x {n}: {e}"));
                let norm: f64 = out.values().iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
                let most = (m.min(n) as f64).sqrt() * 1.001;
                assert!(norm > 0.2 && norm <= most, "{name} {m} x {n}: {norm}");
            }
        }
    }
}

/// Counts the matrices a backend hands out.
#[derive(Clone, Debug)]
struct Counting<E>(Dense<E>, Rc<Cell<usize>>);

impl<E: Element> Backend for Counting<E> {
    type Element = E;
    type Scalar = f64;
    type Matrix = DenseMatrix<E>;
    fn zeros(&self, rows: usize, cols: usize, like: Option<&DenseMatrix<E>>) -> Result<DenseMatrix<E>> {
        self.1.set(self.1.get() + 1);
        self.0.zeros(rows, cols, like)
    }
    fn scalar(&self, value: f64) -> Result<f64> {
        self.0.scalar(value)
    }
}

#[test]
fn the_second_call_takes_no_new_matrix() {
    let count = Rc::new(Cell::new(0));
    let mut workspace = Workspace::new(Counting(Dense::<f32>::new(), count.clone()));
    let mut out = random::<f32>(10, 14, 1.0);
    // 0.1: coupled; 1e-3: deflated or stacked.
    for c in [1.0, 0.1, 1e-3] {
        let x = DenseMatrix::from_fn(10, 14, |i, j| {
            (uniform(7, i, j) + 30.0 * uniform(8, i, 0) * uniform(9, j, 0)) as f32
        });
        let polar = HardClip { method: HardClipMethod::Polar, ..HardClip::default() };
        let mut rounds = Vec::new();
        for _ in 0..3 {
            SoftClip::default().apply(&x, c, &mut out, &mut workspace).unwrap();
            SoftClip::OFFICIAL.apply(&x, c, &mut out, &mut workspace).unwrap();
            HardClip::default().apply(&x, c, &mut out, &mut workspace).unwrap();
            polar.apply(&x, c, &mut out, &mut workspace).unwrap();
            Threshold::Soft { t: c }.apply(&x, &mut out, &mut workspace).unwrap();
            Threshold::Elastic { t: c, b: 1.0, radius: 1.0 }.apply(&x, &mut out, &mut workspace).unwrap();
            Threshold::BangBang { t: c, radius: 1.0 }.apply(&x, &mut out, &mut workspace).unwrap();
            Threshold::SchattenP { p: 1.5, b: 1.0, radius: 1.0 }.apply(&x, &mut out, &mut workspace).unwrap();
            Polar::MUON.apply(&x, &mut out, &mut workspace).unwrap();
            rounds.push(count.get());
        }
        assert_eq!(rounds[1], rounds[2], "matrices allocated for c = {c}");
        assert_eq!(rounds[0], rounds[1], "matrices allocated again for c = {c}");
    }
}

/// Sylvester's Hadamard matrix over 8: orthogonal, 64 x 64, and exact.
fn hadamard(i: usize, j: usize) -> f64 {
    if (i & j).count_ones().is_multiple_of(2) { 0.125 } else { -0.125 }
}

/// `U diag(sigma) V^T` of values with few bits is exact in `f64`, so its clip is known beyond what a computed
/// decomposition, itself uncertain by `eps sigma_1`, could tell.
#[test]
fn f64_against_exact_matrices() {
    type Spectrum = fn(usize, f64) -> f64;
    let spectra: [(&str, Spectrum); 5] = [
        ("spiked", |i, top| if i < 3 { top } else { 0.5 }),
        ("flat", |_, top| top),
        ("half", |i, top| if i < 32 { top } else { 0.75 }),
        ("deficient", |i, top| if i < 40 { top } else { 0.0 }),
        ("graded", |i, top| top * 0.5f64.powi(i as i32 / 4)),
    ];
    let mut workspace = Workspace::new(Dense::<f64>::new());
    for (name, spectrum) in spectra {
        for exponent in [-10, -3, 0, 2, 4, 6, 8, 10, 13] {
            let top = 2f64.powi(exponent);
            let sigma: Vec<f64> = (0..64).map(|i| spectrum(i, top)).collect();
            let with = |values: &[f64]| {
                // V is U with its rows reversed.
                DenseMatrix::from_fn(64, 64, |i, j| {
                    (0..64).map(|k| hadamard(i, k) * values[k] * hadamard(63 - j, k)).sum::<f64>()
                })
            };
            let x = with(&sigma);
            let exact = with(&sigma.iter().map(|s| s / (1.0 + s * s).sqrt()).collect::<Vec<_>>());
            let mut out = with(&[f64::NAN; 64]);
            let info = SoftClip::default().apply(&x, 1.0, &mut out, &mut workspace).unwrap();
            let norm = |f: &dyn Fn(usize) -> f64| (0..64 * 64).map(|i| f(i).powi(2)).sum::<f64>().sqrt();
            let error = norm(&|i| out.values()[i] - exact.values()[i]) / norm(&|i| exact.values()[i]);
            assert!(error <= 1e-12, "{name} 2^{exponent}: {error:e} {info:?}");
        }
    }
}
