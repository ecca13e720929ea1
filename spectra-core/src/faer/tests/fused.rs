//! `power_sweep` and `low_rank_add` against the portable backend's separate passes.

use super::*;
use crate::backend::{Coefficient, Fused, Gradient, Op};
use alloc::format;

/// What a sweep leaves.
struct Swept<X> {
    m: X,
    p: X,
    gram: X,
    z: X,
    square: f64,
}

/// A sweep of `M`, with the gradient halved.
fn sweep<X>(
    (mut m, g, v): (X, X, X),
    (mut p, mut gram, mut z): (X, X, X),
    mu: Option<f64>,
    alpha: f64,
) -> Swept<X>
where
    X: Fused<Scalar = f64>,
{
    let gradient = Gradient::scaled(&g, &0.5);
    let update = mu.map(|mu| (mu, &gradient));
    let square = m.power_sweep(update, alpha, &v, &mut p, &mut gram, &mut z).unwrap();
    Swept { m, p, gram, z, square }
}

/// The same sweep by both backends.
fn sweeps<E: FaerElement>(
    (m, n, k): (usize, usize, usize),
    mu: Option<f64>,
    alpha: f64,
) -> (Swept<FaerMatrix<E>>, Swept<DenseMatrix<E>>) {
    let matrix = if mu == Some(0.0) { nan_pair(m, n) } else { pair(m, n, 1) };
    let (g, v) = (pair(m, n, 2), pair(n, k, 3));
    let (p, gram, z) = (nan_pair(m, k), nan_pair(k, k), nan_pair(n, k));
    let fast = sweep((matrix.0, g.0, v.0), (p.0, gram.0, z.0), mu, alpha);
    (fast, sweep((matrix.1, g.1, v.1), (p.1, gram.1, z.1), mu, alpha))
}

/// `op(|A|) |B|` times `factor`.
fn magnitude_product(factor: f64, a: &DenseMatrix<f64>, op: Op, b: &DenseMatrix<f64>) -> DenseMatrix<f64> {
    let (rows, cols) = (op.shape(a.shape()).0, b.shape().1);
    let mut product = DenseMatrix::from_fn(rows, cols, |_, _| 0.0);
    product.gemm(Coefficient::ZERO, factor.into(), a, op, b, Op::Plain).unwrap();
    product
}

/// Bounds: M rounds as the reference does, so equal bits. P is a product of inner dimension n (see
/// `products.rs`). The Gram matrix and Z are products of inner dimension m with a P that differs by
/// `(n + 4) eps |M||V|` at most, on either side: `(m + 4) + 2 (n + 4)` in all, to first order; the product of
/// the two errors is covered by one more `eps`.
fn check_sweep<E: FaerElement>(m: usize, n: usize, k: usize, mu: Option<f64>) {
    let alpha = 0.3;
    let (fast, dense) = sweeps::<E>((m, n, k), mu, alpha);
    let what = format!("{m} x {n}, k = {k}, {}, mu {mu:?}", E::NAME);
    assert_eq!(fast.m.values(), dense.m.values(), "{what}");
    let relative = (m * n) as f64 * f64::EPSILON;
    assert!((fast.square - dense.square).abs() <= relative * dense.square, "{what}");
    let (matrix, v) = (magnitudes(&dense.m), magnitudes(&pair::<E>(n, k, 3).1));
    let p = magnitude_product(alpha, &matrix, Op::Plain, &v);
    let scaled =
        |x: &DenseMatrix<f64>, factor: f64| -> Vec<f64> { x.values().iter().map(|x| x * factor).collect() };
    let (eps, m, n) = (E::EPSILON, m as f64, n as f64);
    let deep = eps * (m + 2.0 * n + 13.0);
    assert_within(fast.p.values(), dense.p.values(), &scaled(&p, eps * (n + 4.0)), &what);
    let gram = magnitude_product(1.0, &p, Op::Transposed, &p);
    assert_within(fast.gram.values(), dense.gram.values(), &scaled(&gram, deep), &what);
    let z = magnitude_product(alpha, &matrix, Op::Transposed, &p);
    assert_within(fast.z.values(), dense.z.values(), &scaled(&z, deep), &what);
}

#[test]
fn power_sweep_on_all_sizes() {
    for (i, m) in SIZES.into_iter().enumerate() {
        for (j, n) in SIZES.into_iter().enumerate() {
            let k = [0, 1, 3, 8, 17][(i + j) % 5];
            for mu in [None, Some(0.0), Some(0.9)] {
                check_sweep::<f32>(m, n, k, mu);
                check_sweep::<f64>(m, n, k, mu);
            }
        }
    }
}

#[test]
fn power_sweep_in_parts_and_tiles() {
    // More than one part, block and tile; too few rows for the threads; tall; wide.
    for (m, n, k) in [(600, 1100, 7), (40, 9000, 5), (3000, 65, 9), (257, 513, 61)] {
        check_sweep::<f32>(m, n, k, Some(0.9));
        check_sweep::<f64>(m, n, k, None);
    }
}

#[test]
fn power_sweep_repeats_its_bits() {
    let bits = || {
        let (swept, _) = sweeps::<f32>((700, 600, 11), Some(0.9), 1.0);
        (swept.square.to_bits(), swept.p, swept.gram, swept.z)
    };
    let first = bits();
    for _ in 0..5 {
        assert_eq!(first, bits());
    }
}

#[test]
fn power_sweep_shows_a_nan() {
    let (mut m, _) = pair::<f32>(70, 600, 1);
    m.values_mut()[69 * 600 + 599] = f32::NAN;
    let ((v, _), (mut p, _), (mut gram, _), (mut z, _)) =
        (pair(600, 2, 2), pair(70, 2, 3), pair(2, 2, 4), pair(600, 2, 5));
    assert!(m.power_sweep(None, 1.0, &v, &mut p, &mut gram, &mut z).unwrap().is_nan());
    assert!(gram.values().iter().all(|x| x.is_nan()) && z.values().iter().all(|x| x.is_nan()));
}

/// The elementwise part rounds alike; the product has inner dimension k.
fn check_low_rank<E: FaerElement>(m: usize, n: usize, k: usize) {
    for (beta, alpha) in [(0.0f64, 1.0f64), (1.0, -0.3), (0.3, 0.7)] {
        let ((x, dense_x), (l, dense_l), (r, dense_r)) = (pair::<E>(m, n, 1), pair(m, k, 2), pair(n, k, 3));
        let (mut out, mut dense) = if beta == 0.0 { nan_pair(m, n) } else { pair(m, n, 4) };
        let mut bound = magnitudes(&dense);
        let beta_bound = if beta == 0.0 { Coefficient::ZERO } else { (4.0 * E::EPSILON * beta).into() };
        bound.scale_add(beta_bound, (4.0 * E::EPSILON * alpha.abs()).into(), &magnitudes(&dense_x)).unwrap();
        let factor = E::EPSILON * (k as f64 + 4.0) * alpha.abs();
        let (left, right) = (magnitudes(&dense_l), magnitudes(&dense_r));
        bound.gemm(Coefficient::ONE, factor.into(), &left, Op::Plain, &right, Op::Transposed).unwrap();
        out.low_rank_add(beta.into(), alpha.into(), &x, &l, &r).unwrap();
        dense.low_rank_add(beta.into(), alpha.into(), &dense_x, &dense_l, &dense_r).unwrap();
        let what = format!("{m} x {n}, k = {k}, {}, beta {beta}", E::NAME);
        assert_within(out.values(), dense.values(), bound.values(), &what);
    }
}

#[test]
fn low_rank_add_on_all_sizes() {
    for (i, m) in SIZES.into_iter().enumerate() {
        for (j, n) in SIZES.into_iter().enumerate() {
            let k = [0, 1, 3, 8, 17, 65][(i + j) % 6];
            check_low_rank::<f32>(m, n, k);
            check_low_rank::<f64>(m, n, k);
        }
    }
    for (m, n, k) in [(700, 1100, 61), (17, 9000, 5), (3000, 65, 9)] {
        check_low_rank::<f32>(m, n, k);
        check_low_rank::<f64>(m, n, k);
    }
}

#[test]
fn misfits_are_rejected() {
    let ((mut m, _), (v, _), (w, _)) = (pair::<f32>(4, 3, 1), pair(3, 2, 2), pair(4, 2, 3));
    let (mut p, mut gram, mut z) = (w.clone(), FaerMatrix::from_fn(2, 2, |_, _| 0.0), v.clone());
    assert!(m.power_sweep(None, 1.0, &w, &mut p, &mut gram, &mut z).is_err());
    assert!(m.power_sweep(None, 1.0, &v, &mut z.clone(), &mut gram, &mut z).is_err());
    assert!(m.power_sweep(None, 1.0, &v, &mut p, &mut z.clone(), &mut z).is_err());
    assert!(m.power_sweep(None, 1.0, &v, &mut p, &mut gram, &mut w.clone()).is_err());
    let wrong = Gradient::new(&w);
    assert!(m.power_sweep(Some((0.9, &wrong)), 1.0, &v, &mut p, &mut gram, &mut z).is_err());
    let (one, x) = (Coefficient::ONE, m.clone());
    assert!(m.low_rank_add(one, one, &w, &w, &v).is_err());
    assert!(m.low_rank_add(one, one, &x, &v, &v).is_err());
    assert!(m.low_rank_add(one, one, &x, &w, &w).is_err());
}

/// The bits must not depend on the number of threads: sums have an order of their own.
#[test]
fn fused_operations_do_not_depend_on_the_number_of_threads() {
    let (m, n, k) = (613, 517, 21);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (matrix, g, v) = (pair::<f32>(m, n, 1).0, pair(m, n, 2).0, pair(n, k, 3).0);
            let outputs = (nan_pair(m, k).0, nan_pair(k, k).0, nan_pair(n, k).0);
            let swept = sweep((matrix, g, v), outputs, Some(0.9), 0.3);
            let mut x = pair::<f32>(m, n, 4).0;
            x.low_rank_add(0.9.into(), 0.1.into(), &swept.m, &swept.p, &swept.z).unwrap();
            let values = [&swept.m, &swept.p, &swept.gram, &swept.z, &x].map(|x| x.values().to_vec());
            (values, swept.square)
        })
    };
    let one = run(1);
    for threads in [2, 3, 5, 8] {
        assert_eq!(run(threads), one, "{threads} threads");
    }
}
