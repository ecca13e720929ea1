//! Elementwise operations, reductions and the fused AdamW pass.

use super::*;
use crate::backend::{Backend, Coef, Coefficient, Element, Entrywise, Gradient, composed};
use crate::dense::Dense;
use crate::faer::Faer;
use crate::faer::parallel::GRAIN;
use crate::linalg::Workspace;

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

/// A step of the rule on those of X, M, V, S that it has, with half the gradient.
fn entrywise_step<B: Backend>(
    backend: B,
    rule: Entrywise,
    weights: (f64, f64),
    [x, m, v, s]: [&mut B::Matrix; 4],
    g: &B::Matrix,
) {
    let half = &Gradient { scale: 0.5.into(), ..Gradient::new(g) };
    let workspace = &mut Workspace::new(backend);
    match rule.matrices() {
        2 => B::entrywise_add([x, m], weights, rule, half, workspace),
        3 => B::entrywise_add([x, m, v], weights, rule, half, workspace),
        _ => B::entrywise_add([x, m, v, s], weights, rule, half, workspace),
    }
    .unwrap();
}

/// X, M, V, S and the gradient after a step on both backends. V >= 0 before; what is not to be read is NaN.
fn entrywise(
    n: usize,
    rule: Entrywise,
    beta: f64,
    unread: [bool; 4],
) -> [(FaerMatrix<f32>, DenseMatrix<f32>); 5] {
    let mut pairs = [0, 1, 2, 3, 4]
        .map(|i| if unread.get(i) == Some(&true) { nan_pair(1, n) } else { pair::<f32>(1, n, i as u64) });
    pairs[2].0.values_mut().iter_mut().for_each(|y| *y = y.abs());
    pairs[2].1.values_mut().iter_mut().for_each(|y| *y = y.abs());
    let [(x, dense_x), (m, dense_m), (v, dense_v), (s, dense_s), (g, dense_g)] = &mut pairs;
    entrywise_step(Faer::new(), rule, (beta, -0.01), [x, m, v, s], g);
    entrywise_step(Dense::new(), rule, (beta, -0.01), [dense_x, dense_m, dense_v, dense_s], dense_g);
    pairs
}

#[test]
fn adam_has_the_bits_of_the_separate_passes() {
    for n in lengths() {
        for (beta, b1, b2) in [(1.0, 0.9, 0.999), (0.0, 0.9, 0.95), (0.3, 0.0, 0.0)] {
            let rule = Entrywise::Adam { betas: (b1, b2), eps: 1e-8, slow: None };
            let unread = [beta == 0.0, b1 == 0.0, b2 == 0.0, true];
            for (fast, dense) in &entrywise(n, rule, beta, unread)[..3] {
                assert_eq!(fast.values(), dense.values());
            }
        }
    }
}

#[test]
fn momentum_and_its_sign_have_the_bits_of_the_separate_passes() {
    for n in lengths() {
        for (beta, mu) in [(1.0, 0.9), (0.0, 0.9), (0.3, 0.0)] {
            for (nesterov, sign) in [(false, false), (false, true), (true, true)] {
                let rule = Entrywise::Momentum { mu, weight: 0.7, nesterov, sign };
                let unread = [beta == 0.0, mu == 0.0, true, true];
                for (fast, dense) in &entrywise(n, rule, beta, unread)[..2] {
                    assert_eq!(fast.values(), dense.values(), "length {n}, beta {beta}, {rule:?}");
                }
            }
        }
    }
}

#[test]
fn lion_has_the_bits_of_the_separate_passes() {
    for n in lengths() {
        for (beta, b1, b2) in [(1.0, 0.9, 0.99), (0.0, 0.0, 0.9), (0.3, 0.9, 0.0), (1.0, 0.0, 0.0)] {
            let rule = Entrywise::Lion { betas: (b1, b2) };
            let unread = [beta == 0.0, b1 == 0.0 && b2 == 0.0, true, true];
            for (fast, dense) in &entrywise(n, rule, beta, unread)[..2] {
                assert_eq!(fast.values(), dense.values(), "length {n}, beta {beta}, {rule:?}");
            }
        }
    }
}

/// C, its norm and what is clipped: of entries of a size that the squares hold, do not reach, and (in `f64`, where no wider sum is) go beyond.
fn check_mars<E: FaerElement>(n: usize, size: f64, weight: f64) {
    let [x, m, mut v, l, mut g] = [0, 1, 2, 3, 4].map(|i| pair::<E>(1, n, i).0);
    v.values_mut().iter_mut().for_each(|y| *y = y.abs());
    g.values_mut().iter_mut().for_each(|y| *y = E::narrow(y.widen() * size));
    let l = if weight == 0.0 { nan_pair::<E>(1, n).0 } else { l };
    let rule = Entrywise::Mars { betas: (0.95, 0.99), eps: 1e-8, weight };
    let half = &Gradient { scale: 0.5.into(), ..Gradient::new(&g) };
    let workspace = &mut Workspace::new(Faer::new());
    let [fused, passes] = [true, false].map(|fused| {
        let [mut x, mut m, mut v, mut l] = [&x, &m, &v, &l].map(Clone::clone);
        let matrices = [&mut x, &mut m, &mut v, &mut l];
        let done = match fused {
            true => Faer::entrywise_add(matrices, (0.9, -0.01), rule, half, workspace),
            false => composed::entrywise_add(matrices, (0.9, -0.01), rule, half, workspace),
        };
        done.unwrap();
        [x, m, v, l]
    });
    assert_eq!(fused, passes, "length {n}, size {size:e}, w {weight}");
    assert!(fused.iter().all(|x| x.values().iter().all(|x| x.is_finite())), "length {n}, size {size:e}");
}

#[test]
fn mars_has_the_bits_of_the_separate_passes() {
    for n in lengths() {
        for weight in [0.475, 0.0] {
            for size in [1.0, 1e-30, 1e30] {
                check_mars::<f32>(n, size, weight);
                check_mars::<f64>(n, size, weight);
            }
            for size in [1e-200, 1e200] {
                check_mars::<f64>(n, size, weight);
            }
        }
    }
}

/// The weights take two terms at once, not one after the other: rounding errors of `|beta x| + |alpha| (|term| + |term|)`.
#[test]
fn two_terms_are_added_at_once() {
    for n in lengths() {
        for (beta, mu) in [(1.0, 0.9), (0.0, 0.0)] {
            let nesterov = Entrywise::Momentum { mu, weight: 0.7, nesterov: true, sign: false };
            let slow = Entrywise::Adam { betas: (mu, mu), eps: 1e-3, slow: Some((mu, 8.0)) };
            for rule in [nesterov, slow] {
                let [weights, states @ ..] = entrywise(n, rule, beta, [mu == 0.0; 4]);
                for (fast, dense) in &states[..rule.matrices() - 1] {
                    assert_eq!(fast.values(), dense.values(), "length {n}, {rule:?}");
                }
                let [m, v, s, g] = states.map(|(_, dense)| magnitudes(&dense));
                let bound = |i: usize| {
                    let at = |x: &DenseMatrix<f64>| x.values()[i];
                    let terms = match rule {
                        Entrywise::Momentum { .. } | Entrywise::Lion { .. } => at(&m) + at(&g),
                        Entrywise::Adam { eps, .. } => (at(&m) + 8.0 * at(&s)) / (at(&v).sqrt() + eps),
                        Entrywise::Mars { .. } => unreachable!("not of the rules above"),
                    };
                    8.0 * f64::from(f32::EPSILON) * (weights.1.values()[i].abs().widen() + 0.02 * terms)
                };
                let bound: Vec<f64> = (0..n).map(bound).collect();
                assert_within(weights.0.values(), weights.1.values(), &bound, "weights");
            }
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
    let rule = Entrywise::Adam { betas: (0.9, 0.9), eps: 0.0, slow: None };
    let (matrices, workspace) = ([&mut x, &mut m, &mut v], &mut Workspace::new(Faer::new()));
    assert!(Faer::entrywise_add(matrices, (1.0, 1.0), rule, &Gradient::new(&y), workspace).is_err());
}
