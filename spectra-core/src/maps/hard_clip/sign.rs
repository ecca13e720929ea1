//! The hard clip by the sign of a symmetric matrix: all but two products on the short side.

use crate::backend::{Backend, Coefficient, Fused, Matrix, Op, Result};
use crate::linalg::{Coupled, Form, Info, Schedule, Workspace, coefficients};
use crate::maps::soft_clip::Gram;

/// With `H = X X^T / c^2` on the short side and `K = H - I`
///
/// `min(sigma, c) = sigma / sqrt(max(sigma^2 / c^2, 1))`, that is `out = A^{-1/2} X`, `A = max(H, I) = (H + I + sign(K) K) / 2`.
///
/// A is never singular, whatever the rank of X. Eigenvalues of K below `l ||K||` keep a sign between -1 and 1: what they become lies between
/// sigma and c, off by `l rho^2 / 4` of c at most, `rho = sigma_1 / c`. The squares cost `eps rho^2 / 8`, as in the soft clip. Both are to stay
/// below the `2 eps sqrt(m + n) rho` that two polar factors lose: `l = 8 eps sqrt(m + n) / rho`, and `None` beyond `rho = 8 sqrt(m + n)`.
/// Waits for one number. Three r x r products for each step of the sign, four for each of the root.
pub(super) fn clip<B: Backend>(
    x: &B::Matrix,
    c: f64,
    out: &mut B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<Option<Info>> {
    let (m, n) = x.shape();
    let eps = workspace.backend().product_epsilon();
    let gram = Gram::new(x, 1.0 / (c * c), workspace)?;
    // rho^2
    let bound = gram.bound()?;
    let spread = libm::sqrt((m + n) as f64);
    if bound.is_nan() || bound > 64.0 * spread * spread {
        gram.release(workspace);
        return Ok(None);
    }
    let (one, zero, plain) = (Coefficient::ONE, Coefficient::ZERO, Op::Plain);
    let r = m.min(n);
    let identity = workspace.identity(r)?;
    let norm = (bound - 1.0).max(1.0);
    let mut k = workspace.take(r, r)?;
    k.scale_add(zero, (-1.0 / norm).into(), &identity)?;
    k.scale_add(one, (1.0 / norm).into(), &gram.matrix)?;

    // S -> sign(K), odd polynomials of the symmetric K.
    let lower = (8.0 * eps * spread / libm::sqrt(bound.max(1.0))).min(0.5);
    let polynomials = Schedule::Minimax.reaching((lower, 1.0), lower, eps);
    let mut info =
        Info { products: 2, form: Form::Sign, bound: Some(c * libm::sqrt(bound)), ..Info::default() };
    let mut side = Coupled::new(r, workspace)?;
    let mut sign = workspace.take(r, r)?;
    let mut next = workspace.take(r, r)?;
    sign.copy_from(&k)?;
    for p in polynomials {
        side.r.gemm_symmetric(zero, one, &sign, plain, &sign, plain)?;
        let [a, b, c] = coefficients(&p, None);
        let w = side.polynomial([a, b, c])?;
        next.scale_add(zero, a, &sign)?;
        next.gemm_symmetric(one, one, w, plain, &sign, plain)?;
        core::mem::swap(&mut sign, &mut next);
        (info.steps, info.products) = (info.steps + 1, info.products + 2);
    }

    // A / alpha, and its root; the bound of H is one of A where it is not below 1.
    let alpha = bound.max(1.0) * (1.0 + 16.0 * eps * spread);
    let half = 0.5 / alpha;
    side.r.scale_add(zero, half.into(), &identity)?;
    side.r.scale_add(one, half.into(), &gram.matrix)?;
    side.r.gemm_symmetric(one, (half * norm).into(), &sign, plain, &k, plain)?;
    workspace.give_identity(identity);
    let root = 1.0 / libm::sqrt(alpha);
    let tolerance = eps * spread;
    // Eigenvalues of H just below 1 may be left in A: by `l ||K||`.
    let least = root * libm::sqrt((1.0 - lower * norm).max(0.25));
    let (plan, steps, error) = Schedule::Minimax.plan_for(least, tolerance, eps);
    side.run(plan, None, workspace)?;
    gram.multiply(root, &side.q, x, out)?;
    info.steps += steps;
    info.products += 2 + side.products;
    info.accuracy = Some(error + eps * (2.0 * spread * libm::sqrt(alpha) + 0.2 * alpha));
    side.release(workspace);
    gram.release(workspace);
    for matrix in [k, sign, next] {
        workspace.give(matrix);
    }
    Ok(Some(info))
}
