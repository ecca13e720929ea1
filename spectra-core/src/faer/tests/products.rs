//! `gemm` and `gemm_symmetric`.

use super::*;
use crate::backend::{Coefficient, Fused, Op};
use alloc::format;

const OPS: [Op; 2] = [Op::Plain, Op::Transposed];

/// Entry by entry `eps ((l + 4) |alpha| |A| |B| + 4 |beta| |out|)`: an inner product of length l in any order
/// errs by at most `l eps / 2 |a| |b|` (Higham 2002, section 3.1) in the element type; the reference, which
/// accumulates in f64, by less; scaling, adding and rounding add a few `eps`.
fn bound<E: FaerElement>(
    beta: f64,
    alpha: f64,
    out: &DenseMatrix<E>,
    a: &DenseMatrix<E>,
    op_a: Op,
    b: &DenseMatrix<E>,
    op_b: Op,
) -> Vec<f64> {
    let l = op_a.shape(a.shape()).1 as f64;
    let mut bound = magnitudes(out);
    let beta = if beta == 0.0 { Coefficient::ZERO } else { (4.0 * E::EPSILON * beta.abs()).into() };
    let alpha = E::EPSILON * (l + 4.0) * alpha.abs();
    bound.gemm(beta, alpha.into(), &magnitudes(a), op_a, &magnitudes(b), op_b).unwrap();
    bound.values().to_vec()
}

fn check_gemm<E: FaerElement>(m: usize, n: usize, l: usize) {
    for op_a in OPS {
        for op_b in OPS {
            for (beta, alpha) in [(0.0, 1.0), (1.0, -1.0), (0.3, 0.7)] {
                let ((rows_a, cols_a), (rows_b, cols_b)) = (op_a.shape((m, l)), op_b.shape((l, n)));
                let (a, dense_a) = pair::<E>(rows_a, cols_a, 1);
                let (b, dense_b) = pair::<E>(rows_b, cols_b, 2);
                let (mut out, mut dense) = if beta == 0.0 { nan_pair(m, n) } else { pair(m, n, 3) };
                let bound = bound(beta, alpha, &dense, &dense_a, op_a, &dense_b, op_b);
                out.gemm(beta.into(), alpha.into(), &a, op_a, &b, op_b).unwrap();
                dense.gemm(beta.into(), alpha.into(), &dense_a, op_a, &dense_b, op_b).unwrap();
                let what = format!("{m} x {n} x {l} {} {op_a:?} {op_b:?} beta {beta}", E::NAME);
                assert_within(out.values(), dense.values(), &bound, &what);
            }
        }
    }
}

#[test]
fn gemm_on_all_sizes() {
    for (i, m) in SIZES.into_iter().enumerate() {
        for (j, n) in SIZES.into_iter().enumerate() {
            let l = SIZES[(3 * i + 7 * j) % SIZES.len()];
            check_gemm::<f32>(m, n, l);
            check_gemm::<f64>(m, n, l);
        }
    }
}

#[test]
fn gemm_in_parts() {
    // Above the grain: tall, wide, deep, square.
    for (m, n, l) in [
        (1025, 61, 130),
        (1025, 31, 300),
        (61, 1025, 130),
        (65, 61, 1500),
        (257, 255, 129),
        (1, 1 << 12, 513),
    ] {
        check_gemm::<f32>(m, n, l);
        check_gemm::<f64>(m, n, l);
    }
}

#[test]
fn gemm_takes_device_scalars_and_rejects_misfits() {
    let (a, _) = pair::<f32>(4, 3, 1);
    let mut out = FaerMatrix::from_fn(4, 4, |_, _| 1.0f32);
    let half = 0.5;
    let (beta, alpha) = (Coefficient::device(2.0, &half), Coefficient::device(0.0, &half));
    out.gemm(beta, alpha, &a, Op::Plain, &a, Op::Transposed).unwrap();
    assert!(out.values().iter().all(|x| *x == 1.0));
    assert!(out.gemm(beta, alpha, &a, Op::Plain, &a, Op::Plain).is_err());
    assert!(out.gemm_symmetric(beta, alpha, &a, Op::Plain, &a, Op::Plain).is_err());
    let mut wide = FaerMatrix::from_fn(4, 3, |_, _| 1.0f32);
    assert!(wide.gemm_symmetric(beta, alpha, &a, Op::Plain, &a, Op::Transposed).is_err());
}

fn check_symmetric<E: FaerElement>(n: usize, l: usize) {
    for (op_a, op_b) in [(Op::Plain, Op::Transposed), (Op::Transposed, Op::Plain)] {
        for (beta, alpha) in [(0.0, 1.0), (1.0, -1.0), (0.3, 0.7)] {
            let (rows, cols) = op_a.shape((n, l));
            let (a, dense_a) = pair::<E>(rows, cols, 1);
            let (mut out, mut dense) = if beta == 0.0 { nan_pair(n, n) } else { pair(n, n, 3) };
            for i in 0..n {
                for j in 0..i {
                    out.values_mut()[i * n + j] = out.values()[j * n + i];
                    dense.values_mut()[i * n + j] = dense.values()[j * n + i];
                }
            }
            let bound = bound(beta, alpha, &dense, &dense_a, op_a, &dense_a, op_b);
            out.gemm_symmetric(beta.into(), alpha.into(), &a, op_a, &a, op_b).unwrap();
            dense.gemm_symmetric(beta.into(), alpha.into(), &dense_a, op_a, &dense_a, op_b).unwrap();
            let what = format!("{n} x {n} x {l} {} {op_a:?} beta {beta}", E::NAME);
            assert_within(out.values(), dense.values(), &bound, &what);
            for i in 0..n {
                for j in 0..i {
                    assert_eq!(out.values()[i * n + j], out.values()[j * n + i], "{what}");
                }
            }
        }
    }
}

#[test]
fn gemm_symmetric_on_all_sizes() {
    for n in SIZES {
        for l in SIZES {
            check_symmetric::<f32>(n, l);
            check_symmetric::<f64>(n, l);
        }
    }
    for (n, l) in [(61, 1500), (255, 129), (300, 65), (513, 40)] {
        check_symmetric::<f32>(n, l);
        check_symmetric::<f64>(n, l);
    }
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let product = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (a, _) = pair::<f32>(700, 300, 1);
            let mut out = FaerMatrix::from_fn(300, 300, |_, _| 0.0f32);
            out.gemm(Coefficient::ZERO, Coefficient::ONE, &a, Op::Transposed, &a, Op::Plain).unwrap();
            (out, a.dot(&a).unwrap().to_bits())
        })
    };
    assert_eq!(product(1), product(2));
    assert_eq!(product(1), product(3));
}
