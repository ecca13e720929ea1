//! Elementwise operations, reductions and the fused AdamW pass.

use super::*;
use crate::backend::{Coef, Coefficient, Gradient};
use crate::faer::parallel::GRAIN;

const BETAS: [f64; 3] = [0.0, 1.0, 0.3];

/// Every size as a row, and two that are split over threads.
fn lengths() -> impl Iterator<Item = usize> {
    SIZES.into_iter().chain([GRAIN + 1, 3 * GRAIN + 65])
}

/// Runs the same statement on both backends for all lengths and betas. The operations round in the same order
/// as the reference, so all bits agree.
macro_rules! same_bits {
    ($element:ty, |$out:ident, $x:ident, $y:ident, $beta:ident| $run:expr) => {
        for n in lengths() {
            for beta in BETAS {
                let (fast_x, dense_x) = pair::<$element>(1, n, 1);
                let (mut fast_y, mut dense_y) = pair::<$element>(1, n, 2);
                fast_y.values_mut().iter_mut().for_each(|y| *y = y.abs());
                dense_y.values_mut().iter_mut().for_each(|y| *y = y.abs());
                let (mut fast, mut dense) = if beta == 0.0 { nan_pair(1, n) } else { pair(1, n, 3) };
                {
                    let ($out, $x, $y, $beta): (_, _, _, Coef<'_, FaerMatrix<$element>>) =
                        (&mut fast, &fast_x, &fast_y, beta.into());
                    $run.unwrap();
                }
                {
                    let ($out, $x, $y, $beta): (_, _, _, Coef<'_, DenseMatrix<$element>>) =
                        (&mut dense, &dense_x, &dense_y, beta.into());
                    $run.unwrap();
                }
                assert_eq!(fast.values(), dense.values(), "length {n}, beta {beta}");
            }
        }
    };
}

#[test]
fn maps_have_the_reference_bits() {
    same_bits!(f32, |out, x, _y, beta| out.scale_add(beta, 0.7.into(), x));
    same_bits!(f64, |out, x, _y, beta| out.scale_add(beta, 0.7.into(), x));
    same_bits!(f32, |out, x, y, beta| out.product_add(beta, 0.7.into(), x, y));
    same_bits!(f64, |out, x, y, beta| out.product_add(beta, 0.7.into(), x, y));
    same_bits!(f32, |out, x, y, beta| out.quotient_add(beta, 0.7.into(), x, y, 1e-8));
    same_bits!(f64, |out, x, y, beta| out.quotient_add(beta, 0.7.into(), x, y, 1e-8));
    same_bits!(f32, |out, x, _y, beta| out.sign_add(beta, 0.7.into(), x));
    same_bits!(f64, |out, x, _y, beta| out.sign_add(beta, 0.7.into(), x));
}

#[test]
fn sign_of_special_numbers() {
    let x = FaerMatrix::from_vec(1, 5, Vec::from([0.0f32, -0.0, f32::NAN, f32::INFINITY, -1e-45])).unwrap();
    let mut out = x.clone();
    out.sign_add(Coefficient::ZERO, Coefficient::ONE, &x).unwrap();
    let [a, b, c, d, e] = out.values() else { panic!() };
    assert!(*a == 0.0 && *b == 0.0 && c.is_nan() && *d == 1.0 && *e == -1.0, "{out:?}");
}

/// `<x, y>` in f64 errs by at most `n 2^-53 <|x|, |y|>` in any order.
fn check_dot<E: FaerElement>(n: usize) {
    let ((x, dense_x), (y, dense_y)) = (pair::<E>(1, n, 1), pair::<E>(1, n, 2));
    let bound = n as f64 * f64::EPSILON * magnitudes(&dense_x).dot(&magnitudes(&dense_y)).unwrap();
    let (fast, dense) = (x.dot(&y).unwrap(), dense_x.dot(&dense_y).unwrap());
    assert!((fast - dense).abs() <= bound, "{n}: {fast} for {dense}");
    assert_eq!(fast.to_bits(), x.dot(&y).unwrap().to_bits());
    assert_eq!(x.max_abs().unwrap(), dense_x.max_abs().unwrap());
}

#[test]
fn reductions() {
    for n in lengths() {
        check_dot::<f32>(n);
        check_dot::<f64>(n);
    }
}

#[test]
fn max_abs_finds_a_nan_anywhere() {
    for n in lengths().filter(|n| *n > 0) {
        for at in [0, n / 3, n - 1] {
            let (mut x, _) = pair::<f32>(1, n, 1);
            x.values_mut()[at] = f32::NAN;
            assert!(x.max_abs().unwrap().is_nan(), "{at} of {n}");
            x.values_mut()[at] = f32::NEG_INFINITY;
            assert_eq!(x.max_abs().unwrap(), f64::INFINITY);
            assert_eq!(x.dot(&x).unwrap(), f64::INFINITY);
        }
    }
}

#[test]
fn adam_has_the_bits_of_the_separate_passes() {
    for n in lengths() {
        for (beta, b1, b2) in [(1.0, 0.9, 0.999), (0.0, 0.9, 0.95), (0.3, 0.0, 0.0)] {
            let (g, dense_g) = pair::<f32>(1, n, 1);
            let (mut m, mut dense_m) = if b1 == 0.0 { nan_pair(1, n) } else { pair(1, n, 2) };
            let (mut v, mut dense_v) = if b2 == 0.0 { nan_pair(1, n) } else { pair(1, n, 3) };
            v.values_mut().iter_mut().for_each(|y: &mut f32| *y = y.abs());
            dense_v.values_mut().iter_mut().for_each(|y: &mut f32| *y = y.abs());
            let (mut x, mut dense_x) = if beta == 0.0 { nan_pair(1, n) } else { pair(1, n, 4) };
            let (scale, square) = (0.5, 0.25);
            let gradient = Gradient::scaled(&g, &scale, &square);
            x.adam_add(beta.into(), (-0.01).into(), &mut m, &mut v, &gradient, (b1, b2), 1e-8).unwrap();
            let gradient = Gradient::scaled(&dense_g, &scale, &square);
            let moments = (&mut dense_m, &mut dense_v);
            dense_x
                .adam_add(beta.into(), (-0.01).into(), moments.0, moments.1, &gradient, (b1, b2), 1e-8)
                .unwrap();
            assert_eq!(
                (x.values(), m.values(), v.values()),
                (dense_x.values(), dense_m.values(), dense_v.values())
            );
        }
    }
}

#[test]
fn misfits_are_rejected() {
    let ((mut x, _), (y, _)) = (pair::<f32>(2, 3, 1), pair::<f32>(3, 2, 2));
    let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
    assert!(x.scale_add(zero, one, &y).is_err());
    assert!(x.product_add(zero, one, &y, &y).is_err());
    assert!(x.quotient_add(zero, one, &y, &y, 0.0).is_err());
    assert!(x.sign_add(zero, one, &y).is_err());
    assert!(x.dot(&y).is_err());
    let (mut m, mut v) = (x.clone(), x.clone());
    assert!(x.adam_add(one, one, &mut m, &mut v, &Gradient::new(&y), (0.9, 0.9), 0.0).is_err());
}
