//! The coupled iteration, with as many restarts as the accuracy wanted and the precision of products ask for.

use super::gram::Gram;
use crate::backend::{Backend, Coefficient, Fused, Matrix, Op, Result};
use crate::linalg::{Info, Schedule, Workspace, segment};

/// `out = H_c(X)` for `alpha >= 1 + ||X||^2 / c^2`, where `gamma kappa = 1 / c^2`.
///
/// The polar factor of `[X, c I]` is `[H_c(X) / c, (I + X X^T / c^2)^{-1/2}]`. With `X_0 = X / (c sqrt(alpha))` and `W_0 = I / sqrt(alpha)` its
/// Gram matrix is `R = X X^T + W W^T = A`, the identity at the end. The steps go on R alone and leave their product Q; a restart is
///
/// `X <- Q X`, `W <- Q W`, `R = X X^T + W W^T`.
///
/// Without one, a rounding of A costs `eps alpha / 8`, since `1 / alpha` is its least eigenvalue; with restarts about `0.3 eps sqrt(alpha)` is left, what
/// a single rounding of X costs. A segment is as long as its own rounding leaves less than `tolerance`. For s minimax
/// steps `4 s - 1` products without a restart or with one, the two of the Gram matrix included, one more for each further restart,
/// one less if the last step is a cubic.
pub(super) fn clip<B: Backend>(
    gram: &Gram<B>,
    x: &B::Matrix,
    (c, kappa, alpha): (f64, f64, f64),
    tolerance: f64,
    out: &mut B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<Info> {
    let eps = workspace.backend().product_epsilon();
    let lower = 1.0 / libm::sqrt(alpha);
    let (plan, steps, error) = Schedule::Minimax.plan_for(lower, tolerance / 4.0, eps);
    let next_length = |plan: &_| segment(plan, eps, tolerance);
    let mut state = gram.coupled(kappa, alpha, workspace)?;
    let mut products = 2;
    // `X_0` as an iterate in 16 bits, where that is another matrix; else X and what turns it into `X_0`.
    let narrow = workspace.backend().iterate_format().is_some();
    let mut own =
        if narrow { Some((workspace.take_iterate_like(x)?, workspace.take_iterate_like(x)?)) } else { None };
    if let Some((start, _)) = &mut own {
        start.scale_add(Coefficient::ZERO, (lower / c).into(), x)?;
    }
    let first = next_length(&plan);
    let mut rest = plan.clone();
    state.run(rest.by_ref().take(first), None, workspace)?;
    if rest.left() == 0 {
        match &own {
            Some((start, _)) => gram.multiply(c, &state.q, start, out)?,
            None => gram.multiply(lower, &state.q, x, out)?,
        }
        products += state.products + 1;
        state.release(workspace);
        own.into_iter().flat_map(<[_; 2]>::from).for_each(|own| workspace.give_iterate(own));
        let accuracy = Some(error + eps * (2.0 + 0.2 * alpha));
        return Ok(Info { steps, products, accuracy, ..Info::default() });
    }

    let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
    let (left, right) = if gram.wide { (Op::Plain, Op::Transposed) } else { (Op::Transposed, Op::Plain) };
    let mut other = workspace.take_iterate_like(x)?;
    let r = state.q.shape().0;
    let mut w = workspace.take_iterate(r, r)?;
    let mut w_next = workspace.take_iterate(r, r)?;
    // X moves to the other matrix with every restart, and ends in the caller's.
    let (mut counted, mut restarts) = (rest.clone(), 0_usize);
    while counted.left() > 0 {
        let length = next_length(&counted);
        counted.by_ref().take(length).for_each(drop);
        restarts += 1;
    }
    let (mut now, mut next, full) = match &mut own {
        Some((start, own)) => {
            gram.multiply(1.0, &state.q, start, own)?;
            (own, &mut other, Some(&mut *out))
        }
        None => {
            let even = restarts.is_multiple_of(2);
            let (now, next) = if even { (&mut *out, &mut other) } else { (&mut other, &mut *out) };
            gram.multiply(lower / c, &state.q, x, now)?;
            (now, next, None)
        }
    };
    w.scale_add(zero, lower.into(), &state.q)?;
    products += 1;
    loop {
        state.r.gemm_symmetric(zero, one, now, left, now, right)?;
        state.r.gemm_symmetric(one, one, &w, Op::Plain, &w, Op::Plain)?;
        let length = next_length(&rest);
        state.run(rest.by_ref().take(length), None, workspace)?;
        products += 3;
        if rest.left() == 0 {
            gram.multiply(c, &state.q, now, full.unwrap_or(next))?;
            break;
        }
        gram.multiply(1.0, &state.q, now, next)?;
        w_next.gemm_symmetric(zero, one, &state.q, Op::Plain, &w, Op::Plain)?;
        core::mem::swap(&mut w, &mut w_next);
        products += 1;
        core::mem::swap(&mut now, &mut next);
    }
    products += state.products;
    state.release(workspace);
    let own = own.into_iter().flat_map(<[_; 2]>::from);
    own.chain([w, w_next, other]).for_each(|matrix| workspace.give_iterate(matrix));
    let accuracy = Some(error + tolerance.min(eps * 0.2 * alpha) + eps * (2.0 + 0.3 * libm::sqrt(alpha)));
    Ok(Info { steps, products, accuracy, ..Info::default() })
}
