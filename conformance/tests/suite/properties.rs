//! Properties that the spectral maps have for every matrix: drawn by proptest with a fixed seed, so that each run draws
//! the same, and a failure shrinks to a small matrix.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use spectra_conformance::oracle::{Svd, orthonormal_basis, product, product_nt};
use spectra_conformance::suite::Subject;
use spectra_conformance::{HostMatrix, Precision, tolerance};
use spectra_core::dense::{Dense, DenseMatrix};
use spectra_core::linalg::{Info, Polar, Workspace};
use spectra_core::maps::{HardClip, HardClipMethod, SoftClip, TailShrink, Threshold, tail_shrink};

type M = DenseMatrix<f64>;

/// Nothing is written to the source tree, and nothing depends on the time.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 200,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(2603),
        ..ProptestConfig::default()
    }
}

/// Entries up to 10 in size, some of them zero; extents from 1 to 9.
fn matrix() -> impl Strategy<Value = HostMatrix> {
    (1usize..=9, 1usize..=9).prop_flat_map(|(rows, cols)| of_shape(rows, cols))
}

fn of_shape(rows: usize, cols: usize) -> impl Strategy<Value = HostMatrix> {
    let entry = prop_oneof![4 => -10.0..10.0f64, 1 => Just(0.0)];
    prop::collection::vec(entry, rows * cols).prop_map(move |data| HostMatrix::from_data(rows, cols, data))
}

/// Two matrices of one shape.
fn pair() -> impl Strategy<Value = (HostMatrix, HostMatrix)> {
    (1usize..=9, 1usize..=9).prop_flat_map(|(rows, cols)| (of_shape(rows, cols), of_shape(rows, cols)))
}

/// A matrix, and one with which it can be turned from each side.
fn turned() -> impl Strategy<Value = [HostMatrix; 3]> {
    (1usize..=9, 1usize..=9)
        .prop_flat_map(|(rows, cols)| [of_shape(rows, cols), of_shape(rows, rows), of_shape(cols, cols)])
}

/// Thresholds below, among and above the singular values.
fn threshold() -> impl Strategy<Value = f64> {
    (-2.0..2.0f64).prop_map(|exponent| 10f64.powf(exponent))
}

/// A map with a threshold.
#[derive(Clone, Copy, Debug)]
enum Map {
    Soft,
    Hard,
    HardByPolar,
    Shrink,
    Elastic,
}

const MAPS: [Map; 5] = [Map::Soft, Map::Hard, Map::HardByPolar, Map::Shrink, Map::Elastic];

impl Map {
    fn apply(self, x: &HostMatrix, c: f64) -> (HostMatrix, Info) {
        let subject = Subject::new(Dense::<f64>::new());
        let workspace = &mut Workspace::new(Dense::<f64>::new());
        let device_x = subject.upload(x).expect("upload");
        let mut out = subject.unreadable(x.rows, x.cols).expect("allocate");
        let polar = HardClip { method: HardClipMethod::Polar, ..HardClip::AUTO };
        let info = match self {
            Self::Soft => SoftClip::AUTO.apply(&device_x, c, &mut out, workspace),
            Self::Hard => HardClip::AUTO.apply(&device_x, c, &mut out, workspace),
            Self::HardByPolar => polar.apply(&device_x, c, &mut out, workspace),
            Self::Shrink => Threshold::Soft { t: c }.apply(&device_x, &mut out, workspace),
            Self::Elastic => {
                Threshold::Elastic { t: c, b: 2.0, radius: 1.5 }.apply(&device_x, &mut out, workspace)
            }
        };
        let info = info.unwrap_or_else(|error| panic!("{self:?} at {c}: {error}"));
        (subject.download(&out).expect("download"), info)
    }

    /// The absolute error that each of two results may have: rounding, by products or by polar factors, and the singular
    /// values that the certificate's slack lets pass.
    fn error(self, x: &HostMatrix, c: f64) -> f64 {
        let shape = x.shape();
        let sigma = Svd::of(x).expect("finite").sigma;
        let polar = tolerance::by_polar_factors(Precision::F64, shape, sigma[0].max(c));
        let clip = tolerance::clip(Precision::F64, shape) * x.frobenius_norm();
        let slack = |c: f64| {
            let within = sigma.iter().filter(|s| **s > c && **s <= c * (1.0 + HardClip::AUTO.slack));
            within.map(|s| (s - c).powi(2)).sum::<f64>().sqrt()
        };
        match self {
            Self::Soft => clip,
            Self::HardByPolar => polar,
            Self::Hard | Self::Shrink => clip + polar + slack(c),
            // Over b = 2; the upper clip is at t + b D = t + 3.
            Self::Elastic => clip + polar + slack(c) + slack(c + 3.0),
        }
    }
}

fn distance(a: &HostMatrix, b: &HostMatrix) -> f64 {
    a.zip(b, |a, b| a - b).frobenius_norm()
}

fn largest(x: &HostMatrix) -> f64 {
    Svd::of(x).expect("finite").sigma[0]
}

proptest! {
    #![proptest_config(config())]

    /// `f(X^T) = f(X)^T`.
    #[test]
    fn maps_commute_with_transposition(x in matrix(), c in threshold()) {
        for map in MAPS {
            let ((a, _), (b, _)) = (map.apply(&x, c), map.apply(&x.transposed(), c));
            let (error, most) = (distance(&a.transposed(), &b), 2.0 * map.error(&x, c));
            prop_assert!(error <= most, "{:?} at {}: {:e} > {:e}", map, c, error, most);
        }
    }

    /// `f(P X Q) = P f(X) Q` for orthogonal P and Q.
    #[test]
    fn maps_commute_with_rotations([x, p, q] in turned(), c in threshold()) {
        let (p, q) = (orthonormal_basis(&p).expect("finite"), orthonormal_basis(&q).expect("finite"));
        let rotate = |x: &HostMatrix| product(&product(&p, x), &q);
        let rotated = rotate(&x);
        for map in MAPS {
            let ((a, _), (b, _)) = (map.apply(&x, c), map.apply(&rotated, c));
            // All of these maps move by no more than their input does, which P, Q and the product round.
            let rounding = tolerance::orthonormality(Precision::F64, (9, 9)) * x.frobenius_norm();
            let most = map.error(&x, c) + map.error(&rotated, c) + 4.0 * rounding;
            let error = distance(&rotate(&a), &b);
            prop_assert!(error <= most, "{:?} at {}: {:e} > {:e}", map, c, error, most);
        }
    }

    /// No singular value grows or exceeds c, and a larger c cuts no more.
    #[test]
    fn clips_are_bounded_and_monotone(x in matrix(), c in threshold(), factor in 1.0..10.0f64) {
        let sigma = Svd::of(&x).expect("finite").sigma;
        for map in [Map::Soft, Map::Hard, Map::HardByPolar] {
            let tight = Svd::of(&map.apply(&x, c).0).expect("finite").sigma;
            let loose = Svd::of(&map.apply(&x, factor * c).0).expect("finite").sigma;
            // Singular values move by no more than the matrix does.
            let open = map.error(&x, c);
            prop_assert!(tight[0] <= c + open, "{:?} at {}: {} above", map, c, tight[0]);
            for ((tight, loose), sigma) in tight.iter().zip(&loose).zip(&sigma) {
                prop_assert!(*tight <= loose + open + map.error(&x, factor * c), "{:?}: {} > {}", map, tight, loose);
                prop_assert!(*loose <= sigma + map.error(&x, factor * c), "{:?}: {} > {}", map, loose, sigma);
            }
        }
    }

    /// The soft clip stays below the hard clip: `sigma / sqrt(1 + sigma^2 / c^2) <= min(sigma, c)`, and within `sqrt(2)`.
    #[test]
    fn the_soft_clip_stays_below_the_hard_clip(x in matrix(), c in threshold()) {
        let soft = Svd::of(&Map::Soft.apply(&x, c).0).expect("finite").sigma;
        let hard = Svd::of(&Map::Hard.apply(&x, c).0).expect("finite").sigma;
        let open = Map::Soft.error(&x, c) + 2.0 * Map::Hard.error(&x, c);
        for (soft, hard) in soft.iter().zip(&hard) {
            prop_assert!(*soft <= hard + open && *hard <= 2f64.sqrt() * soft + open, "{} and {}", soft, hard);
        }
    }

    /// Projections and proximal maps do not expand: `||f(X) - f(Y)|| <= ||X - Y||`, Y next to X or far from it.
    #[test]
    fn clips_and_thresholds_do_not_expand((x, other) in pair(), c in threshold(), exponent in -6.0..0.0f64) {
        let y = x.zip(&other, |x, other| x + 10f64.powf(exponent) * other);
        for map in MAPS {
            let moved = distance(&map.apply(&x, c).0, &map.apply(&y, c).0);
            let most = distance(&x, &y) + map.error(&x, c) + map.error(&y, c);
            prop_assert!(moved <= most, "{:?} at {}: {:e} > {:e}", map, c, moved, most);
        }
    }

    /// `X = clip_c(X) + shrink_c(X)`: Moreau's decomposition of the spectral norm's ball.
    #[test]
    fn clip_and_threshold_add_up(x in matrix(), c in threshold()) {
        let sum = Map::Hard.apply(&x, c).0.zip(&Map::Shrink.apply(&x, c).0, |a, b| a + b);
        let most = Map::Hard.error(&x, c) + Map::Shrink.error(&x, c);
        prop_assert!(distance(&sum, &x) <= most, "{:e} > {:e}", distance(&sum, &x), most);
    }

    /// Whatever the spectrum, no singular value of the rest exceeds the certificate.
    #[test]
    fn certificates_hold(x in matrix(), c in threshold()) {
        let (_, info) = Map::Hard.apply(&x, c);
        if let Some(certificate) = info.certificate {
            let sigma = Svd::of(&x).expect("finite").sigma;
            let rest = sigma.get(info.deflated).copied().unwrap_or(0.0);
            let rounding = tolerance::product(Precision::F64, x.rows + x.cols) * sigma[0];
            prop_assert!(rest <= certificate + rounding, "{} above {}", rest, certificate);
        }
    }

    /// The polar factor does not depend on the scale: not by a bit for powers of two.
    #[test]
    fn the_polar_factor_ignores_the_scale(x in matrix(), exponent in -40i32..40) {
        let apply = |x: &HostMatrix| {
            let subject = Subject::new(Dense::<f64>::new());
            let mut out = subject.unreadable(x.rows, x.cols).expect("allocate");
            let workspace = &mut subject.workspace();
            Polar::exact::<f64>().apply(&subject.upload(x).expect("upload"), &mut out, workspace).expect("finite");
            subject.download(&out).expect("download")
        };
        let scaled = x.map(|entry| entry * 2f64.powi(exponent));
        prop_assert_eq!(apply(&x).data, apply(&scaled).data);
        let norm = largest(&apply(&x));
        prop_assert!(norm <= 1.0 + tolerance::backward(Precision::F64, x.shape()), "{}", norm);
    }

    /// `shrink(a M) = a shrink(M)`, not off by a bit for powers of two: O, the cached subspace, and both scalars.
    #[test]
    fn the_tail_shrink_is_equivariant(x in matrix(), exponent in -40i32..40, steps in 1usize..4) {
        let options = TailShrink { rank_ratio: 0.3, ..TailShrink::PAPER };
        let run = |x: &HostMatrix| {
            let subject = Subject::new(Dense::<f64>::new());
            let workspace = &mut subject.workspace();
            let mut m = subject.upload(x).expect("upload");
            let mut cache: Option<M> = None;
            let mut last = None;
            for step in 0..steps {
                let shaped = tail_shrink(&options, &mut m, None, &mut cache, step as u64, workspace).expect("finite");
                let spike = shaped.correction.as_ref().map(|(left, right)| {
                    let (left, right) = (subject.download(left), subject.download(right));
                    product_nt(&left.expect("download"), &right.expect("download")).data
                });
                last = Some((spike, shaped.sigma_tail, shaped.norm_squared));
                shaped.release(workspace);
            }
            let cache = cache.map(|v| v.values().to_vec());
            (last.expect("a step"), cache)
        };
        let a = 2f64.powi(exponent);
        let ((spike, sigma_tail, norm_squared), cache) = run(&x);
        let ((scaled_spike, scaled_sigma, scaled_norm), scaled_cache) = run(&x.map(|entry| a * entry));
        prop_assert_eq!(cache, scaled_cache);
        prop_assert_eq!(spike.map(|s| s.iter().map(|s| a * s).collect::<Vec<_>>()), scaled_spike);
        prop_assert_eq!((a * sigma_tail, a * a * norm_squared), (scaled_sigma, scaled_norm));
    }

    /// After the shrink the mean square of all r singular values is `sigma_tail^2`: `||O||^2 = r sigma_tail^2`.
    #[test]
    fn the_shrunk_mean_is_the_tails(x in matrix()) {
        let options = TailShrink { rank_ratio: 0.3, ..TailShrink::PAPER };
        let subject = Subject::new(Dense::<f64>::new());
        let workspace = &mut subject.workspace();
        let mut m = subject.upload(&x).expect("upload");
        let shaped = tail_shrink(&options, &mut m, None, &mut None, 0, workspace).expect("finite");
        // Without a tail the map is the identity and the scale 0.
        prop_assume!(shaped.sigma_tail > 0.0);
        let r = x.min_extent() as f64;
        let error = (shaped.norm_squared / (r * shaped.sigma_tail * shaped.sigma_tail) - 1.0).abs();
        prop_assert!(error <= tolerance::projection(Precision::F64, x.shape()), "{:e}", error);
    }
}
