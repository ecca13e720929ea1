//! B: what the clip is (Proposition 1, Lemmas 15 and 20, Remark 2).

use super::{CASES, clipped, distance, gaussian, generator, inner, plus, svd};
use rand::Rng;
use spectra_conformance::HostMatrix;
use spectra_conformance::oracle::soft_clipped;
use spectra_core::frank_wolfe::WeightDecayForm;

fn soft(x: &HostMatrix, c: f64) -> HostMatrix {
    svd(x).soft_clip(c)
}

/// Weight decay with a clip is Frank-Wolfe, for the hard clip and for the soft one: both are `clip_c(M) = b clip_D(M / b)` at `c = b D`.
#[test]
fn proposition_1_both_recursions_stay_together() {
    let form = WeightDecayForm { lr: 0.05, weight_decay: 0.3, scale: 1.4, c: 0.8 };
    let frank_wolfe = form.frank_wolfe().expect("positive settings");
    for clip in [clipped, soft] {
        let rng = &mut generator(4);
        let mut by_decay = gaussian(6, 4, rng);
        let mut by_vertices = by_decay.clone();
        for _ in 0..1000 {
            let update = gaussian(6, 4, rng);
            by_decay = plus(
                &by_decay.map(|x| (1.0 - form.lr * form.weight_decay) * x),
                -form.lr * form.scale,
                &clip(&update, form.c),
            );
            let vertex = clip(&update.map(|x| x / frank_wolfe.b), frank_wolfe.radius);
            by_vertices =
                plus(&by_vertices.map(|x| (1.0 - frank_wolfe.step) * x), -frank_wolfe.step, &vertex);
        }
        // A step's rounding is a few eps of the weights, and decays by 1 - lr wd = 0.985: 67 steps of it are left.
        let error = distance(&by_decay, &by_vertices) / by_decay.frobenius_norm();
        assert!(error < 1e-12, "{error:e}");
    }
}

/// `V = -clip_D(M / b)` minimises `<M, V> + (b / 2) ||V||^2` over `||V||_2 <= D`: the derivative `M + b V` is normal to the ball, its least
/// inner product with a point of the ball, `-D ||M + b V||_*`, is that with V.
#[test]
fn lemma_15_the_clip_is_the_minimiser() {
    let rng = &mut generator(5);
    for case in 0..CASES {
        let m = gaussian(2 + case % 5, 2 + case / 5 % 4, rng);
        let (b, radius) = (rng.random_range(0.1..3.0), rng.random_range(0.1..3.0));
        let v = clipped(&m.map(|x| x / b), radius).map(|x| -x);
        let derivative = plus(&m, b, &v);
        let least = -radius * svd(&derivative).sigma.iter().sum::<f64>();
        let scale = m.frobenius_norm() * radius;
        assert!((inner(&derivative, &v) - least).abs() < 1e-12 * scale, "case {case}");
        let value = |v: &HostMatrix| inner(&m, v) + 0.5 * b * inner(v, v);
        for _ in 0..5 {
            let other = clipped(&gaussian(m.rows, m.cols, rng).map(|x| 2.0 * radius * x), radius);
            assert!(value(&other) >= value(&v) - 1e-12 * scale, "case {case}");
        }
    }
}

/// `h_c(s) <= min(s, c)`, and nowhere farther below than at `s = c`: by `(1 - 1 / sqrt 2) c`.
#[test]
fn lemma_20_the_soft_clip_is_below_the_hard_one_by_at_most_0_293_c() {
    let largest = 1.0 - 0.5f64.sqrt();
    for c in [1e-3, 1.0, 30.0] {
        let sigma: Vec<f64> = (0..20_001).map(|i| c * 1e-3 * f64::from(i)).collect();
        let below: Vec<f64> =
            sigma.iter().zip(soft_clipped(&sigma, c)).map(|(s, h)| (s.min(c) - h) / c).collect();
        let worst = below.iter().copied().fold(0.0, f64::max);
        assert!(below.iter().all(|gap| *gap >= 0.0));
        assert!((worst - largest).abs() < 1e-15 && (below[1000] - worst).abs() < 1e-15, "{worst}");
    }
}

/// As c goes to 0 with `alpha c` fixed, the step becomes the polar factor's: at once where c is below all singular values, with an error
/// `c^2 / (2 sigma^2)` by the soft clip.
#[test]
fn remark_2_small_thresholds_orthogonalise() {
    let rng = &mut generator(6);
    for case in 0..CASES {
        let x = gaussian(3 + case % 4, 2 + case % 3, rng);
        let svd = svd(&x);
        let (polar, least) = (svd.polar_factor(), svd.sigma[x.min_extent() - 1]);
        let root = (x.min_extent() as f64).sqrt();
        for share in [0.5, 0.1, 1e-3] {
            let c = share * least;
            let hard = svd.hard_clip(c).map(|x| x / c);
            assert!(distance(&hard, &polar) < 1e-13 * root, "case {case}");
            let soft = svd.soft_clip(c).map(|x| x / c);
            assert!(distance(&soft, &polar) <= 0.5 * share * share * root + 1e-13, "case {case}");
        }
    }
}
