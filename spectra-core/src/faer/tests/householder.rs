//! Householder's reflections against the definition of QR.

use super::super::kernels::Kernels;
use crate::linalg::uniform;
use alloc::vec::Vec;

/// `<column i of x, column j of y>`, by columns: m x k both.
fn gram(m: usize, k: usize, x: &[f64], y: &[f64]) -> Vec<f64> {
    let entry = |i: usize, j: usize| (0..m).map(|r| x[r * k + i] * y[r * k + j]).sum();
    (0..k * k).map(|at| entry(at / k, at % k)).collect()
}

/// What has been found for a matrix, m x k, in an element type of this eps.
struct Found {
    matrix: Vec<f64>,
    basis: Vec<f64>,
    eps: f64,
}

fn orthonormalize<E: Kernels>(m: usize, k: usize, p: impl Fn(usize, usize) -> f64) -> Found {
    let mut values: Vec<E> = (0..m * k).map(|at| E::narrow(p(at / k, at % k))).collect();
    let widen = |values: &[E]| values.iter().map(|x| x.widen()).collect();
    let matrix = widen(&values);
    E::orthonormalize(m, k, &mut values);
    Found { matrix, basis: widen(&values), eps: E::EPSILON }
}

/// Orthonormal but for the columns `dead`, `U U^T P = P` by columns, and R upper triangular with a diagonal that is not negative.
fn check(m: usize, k: usize, dead: &[usize], found: Found) {
    let Found { matrix: mut p, basis: u, eps } = found;
    // Each column by its own length.
    for j in 0..k {
        let largest =
            (0..m).fold(0.0f64, |largest, r| largest.max(p[r * k + j].abs())).max(f64::MIN_POSITIVE);
        let norm = (0..m).map(|r| (p[r * k + j] / largest).powi(2)).sum::<f64>().sqrt();
        (0..m).for_each(|r| p[r * k + j] = p[r * k + j] / largest / norm.max(f64::MIN_POSITIVE));
    }
    for j in 0..k {
        let is_zero = (0..m).all(|r| u[r * k + j] == 0.0);
        assert_eq!(is_zero, dead.contains(&j), "{m} x {k}: column {j}");
    }
    // Of k reflections, each with a few roundings of sums over m numbers in lanes: sqrt(m k) and a little.
    let noise = 4.0 * eps * ((m * k) as f64).sqrt();
    for (at, x) in gram(m, k, &u, &u).iter().enumerate() {
        let exact = f64::from(u8::from(at / k == at % k && !dead.contains(&(at % k))));
        assert!((x - exact).abs() < noise, "{m} x {k}: {x} at {at}");
    }
    let r = gram(m, k, &u, &p);
    for i in 0..k {
        assert!(r[i * k + i] >= -noise, "{m} x {k}: diagonal {i}");
        assert!((0..i).all(|j| r[i * k + j].abs() < noise), "{m} x {k}: row {i}");
    }
    for row in 0..m {
        for j in 0..k {
            let back: f64 = (0..k).map(|i| u[row * k + i] * r[i * k + j]).sum();
            assert!((back - p[row * k + j]).abs() < noise, "{m} x {k}: {row}, {j}");
        }
    }
}

#[test]
fn columns_become_the_q_of_qr() {
    let random = |i: usize, j: usize| uniform(11, i, j);
    // One block, blocks that end with the columns, one column more, a square.
    for (m, k) in [(9, 4), (200, 64), (97, 65), (130, 130)] {
        check(m, k, &[], orthonormalize::<f64>(m, k, random));
        check(m, k, &[], orthonormalize::<f32>(m, k, random));
    }
}

/// Zero columns, copies of others, and more columns than rows: the others are not disturbed.
#[test]
fn dependent_columns_become_zero() {
    let dead = [0, 3, 40, 41, 69];
    let p = |i: usize, j: usize| match j {
        0 => 0.0,
        3 => 4.0 * uniform(7, i, 1),
        40 => -0.5 * uniform(7, i, 2) + uniform(7, i, 39),
        41 => 3.0 * uniform(7, i, 2),
        69 => uniform(7, i, 68),
        _ => uniform(7, i, j),
    };
    check(100, 70, &dead, orthonormalize::<f64>(100, 70, p));
    check(100, 70, &dead, orthonormalize::<f32>(100, 70, p));
    let beyond: Vec<usize> = (5..9).collect();
    check(5, 9, &beyond, orthonormalize::<f64>(5, 9, |i, j| uniform(3, i, j)));
}

/// Columns whose squares leave the range, and one that is nearly parallel to another.
#[test]
fn lengths_do_not_matter() {
    let length = |j: usize, exponent: i32| f64::powi(2.0, [0, exponent, -exponent][j % 3]);
    let near = |close: f64, i: usize, j: usize| uniform(5, i, 0) + close * uniform(5, i, j);
    check(80, 40, &[], orthonormalize::<f32>(80, 40, |i, j| uniform(5, i, j) * length(j, 100)));
    check(80, 40, &[], orthonormalize::<f64>(80, 40, |i, j| uniform(5, i, j) * length(j, 900)));
    check(80, 6, &[], orthonormalize::<f64>(80, 6, |i, j| near(1e-9, i, j) * length(j, 900)));
    check(80, 6, &[], orthonormalize::<f32>(80, 6, |i, j| near(1e-3, i, j) * length(j, 100)));
}
