//! What the proofs of B lean on: Weyl (Lemma 12), Wedin (14), Chebyshev's sums (18).

use super::{CASES, gaussian, generator, plus, svd, times};
use rand::Rng;
use spectra_conformance::HostMatrix;

#[test]
fn lemma_12_weyl() {
    let rng = &mut generator(9);
    for case in 0..CASES {
        let (a, b) = (gaussian(2 + case % 6, 5, rng), gaussian(2 + case % 6, 5, rng));
        let (of_a, of_b, of_sum) = (svd(&a).sigma, svd(&b).sigma, svd(&plus(&a, 1.0, &b)).sigma);
        let room = 1e-13 * (of_a[0] + of_b[0]);
        for i in 0..of_a.len() {
            assert!((of_sum[i] - of_a[i]).abs() <= of_b[0] + room, "case {case}");
            for j in 0..of_a.len() - i {
                assert!(of_sum[i + j] <= of_a[i] + of_b[j] + room, "case {case}, {i} + {j}");
            }
        }
    }
}

/// `max(||sin(U, U')||, ||sin(V, V')||) <= ||E||_2 / gap` for the first k singular vectors of A and A + E, where the gap between
/// `sigma_k(A + E)` and `sigma_{k+1}(A)` is positive.
#[test]
fn lemma_14_wedin() {
    let rng = &mut generator(10);
    let mut met = 0;
    for case in 0..CASES {
        let a = gaussian(6, 5, rng);
        let e = gaussian(6, 5, rng);
        let e = e.map(|x| x * rng.random_range(0.01..0.3));
        let k = 1 + case % 4;
        let (of_a, of_sum) = (svd(&a), svd(&plus(&a, 1.0, &e)));
        let gap = of_sum.sigma[k - 1] - of_a.sigma[k];
        if gap <= 0.05 {
            continue;
        }
        met += 1;
        let bound = svd(&e).sigma[0] / gap;
        for (x, y) in [(&of_a.u, &of_sum.u), (&of_a.v, &of_sum.v)] {
            assert!(sine(&x.first_columns(k), &y.first_columns(k)) <= bound + 1e-12, "case {case}");
        }
    }
    assert!(met > CASES / 4, "only {met} cases have a gap");
}

/// Of the largest angle between the spans of orthonormal columns: `||(I - X X^T) Y||_2`.
fn sine(x: &HostMatrix, y: &HostMatrix) -> f64 {
    let rest = plus(y, -1.0, &times(x, &times(&x.transposed(), y)));
    svd(&rest).sigma[0]
}

/// `sum a_i b_i >= (sum a_i) (sum b_i) / n` where both fall; `<=` where one rises.
#[test]
fn lemma_18_chebyshev() {
    let rng = &mut generator(11);
    for case in 0..CASES {
        let n = 1 + case % 9;
        let mut falling = || {
            let mut numbers: Vec<f64> = (0..n).map(|_| rng.random_range(-2.0..2.0)).collect();
            numbers.sort_by(|a, b| b.total_cmp(a));
            numbers
        };
        let (a, b) = (falling(), falling());
        let product = a.iter().sum::<f64>() * b.iter().sum::<f64>() / n as f64;
        let dot = |b: &mut dyn Iterator<Item = &f64>| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        assert!(dot(&mut b.iter()) >= product - 1e-13, "case {case}");
        assert!(dot(&mut b.iter().rev()) <= product + 1e-13, "case {case}");
    }
}
