//! `out = beta out + alpha f(operands)`, entry by entry.

use super::kernels::beta_of;
use super::parallel::for_each;
use super::simd::vectorized;
use crate::backend::{Coefficient, Element};

/// `out = beta out + alpha f(x)`; `out` is not read when `beta` is zero on the host.
pub(super) fn map1<E: Element>(
    out: &mut [E],
    beta: Coefficient<'_, f64>,
    alpha: Coefficient<'_, f64>,
    x: &[E],
    f: impl Fn(E) -> E + Sync + Copy,
) {
    let (beta, alpha) = (beta_of::<E>(beta), E::narrow(alpha.value()));
    for_each((out, x), &|(out, x): (&mut [E], &[E])| {
        vectorized(
            #[inline(always)]
            || map1_loop(out, beta, alpha, x, &f),
        );
    });
}

/// The loop alone, for a caller that has chosen the instruction set.
#[inline(always)]
pub(super) fn map1_loop<E: Element>(out: &mut [E], beta: Option<E>, alpha: E, x: &[E], f: &impl Fn(E) -> E) {
    match beta {
        Some(beta) => out.iter_mut().zip(x).for_each(|(o, x)| *o = beta * *o + alpha * f(*x)),
        None => out.iter_mut().zip(x).for_each(|(o, x)| *o = alpha * f(*x)),
    }
}

/// `out = beta out + alpha f(x, y)`; `out` is not read when `beta` is zero on the host.
pub(super) fn map2<E: Element>(
    out: &mut [E],
    beta: Coefficient<'_, f64>,
    alpha: Coefficient<'_, f64>,
    x: &[E],
    y: &[E],
    f: impl Fn(E, E) -> E + Sync + Copy,
) {
    let (beta, alpha) = (beta_of::<E>(beta), E::narrow(alpha.value()));
    for_each((out, x, y), &|(out, x, y): (&mut [E], &[E], &[E])| {
        vectorized(
            #[inline(always)]
            || {
                let operands = x.iter().zip(y);
                match beta {
                    Some(beta) => out
                        .iter_mut()
                        .zip(operands)
                        .for_each(|(o, (x, y))| *o = beta * *o + alpha * f(*x, *y)),
                    None => out.iter_mut().zip(operands).for_each(|(o, (x, y))| *o = alpha * f(*x, *y)),
                }
            },
        );
    });
}

/// -1, 0, 1 or NaN, without a branch.
#[inline(always)]
pub(super) fn sign<E: Element>(x: E) -> E {
    let one = if x < E::zero() { -E::one() } else { E::one() };
    if x > E::zero() || x < E::zero() { one } else { x.abs() }
}
