//! The polar iteration on the stacked matrix `[X, c I]`, whose polar factor is `[H_c(X) / c, (I + X X^T / c^2)^{-1/2}]`.

use super::gram::Gram;
use crate::backend::{Backend, Coefficient, Element, Fused, Matrix, Op, Result};
use crate::linalg::{Info, Schedule, Workspace, add_polynomial};

/// `out = H_c(X)`, `alpha = 1 + ||X||^2 / c^2` or more.
///
/// With `beta = c sqrt(alpha)`, `X_0 = X / beta`, `Z_0 = I / sqrt(alpha)` and `A = X X^T + Z^2`:
///
/// `B = b A + c A^2`, `X <- a X + B X`, `Z <- a Z + B Z`.
///
/// The first `A` and its square follow from the Gram matrix at hand. `5 s - 3` products for `s` steps, the two
/// of the Gram matrix included. Rounding leaves about `0.3 eps sqrt(alpha)`.
pub(super) fn clip<B: Backend>(
    gram: &Gram<B>,
    x: &B::Matrix,
    c: f64,
    kappa: f64,
    alpha: f64,
    tolerance: f64,
    out: &mut B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<Info> {
    let lower = 1.0 / libm::sqrt(alpha);
    let (plan, steps, error) = Schedule::Minimax.plan(lower, tolerance);
    let (one, zero) = (Coefficient::ONE, Coefficient::ZERO);
    let (mut a, mut b) = gram.shifted(kappa, alpha, workspace)?;
    let r = a.shape().0;
    let mut z = workspace.take(r, r)?;
    let mut z_next = workspace.take(r, r)?;
    let mut other = workspace.take_like(x, x.shape().1)?;
    // X moves to the other matrix with every step, then once more: it must end in the caller's.
    let (mut now, mut next) =
        if steps.is_multiple_of(2) { (&mut other, &mut *out) } else { (&mut *out, &mut other) };
    let mut products = 2;
    let mut polynomials = plan.peekable();
    let mut first = true;
    while let Some(p) = polynomials.next() {
        if first {
            // b holds A^2; X_1 = (a X + B X) / beta, Z_1 = (a I + B) / sqrt(alpha).
            b.scale_add(p.c.into(), p.b.into(), &a)?;
            let inverse = lower / c;
            next.scale_add(zero, (p.a * inverse).into(), x)?;
            multiply(gram.wide, next, inverse, &b, x)?;
            let identity = workspace.identity(r)?;
            z.scale_add(zero, (p.a * lower).into(), &identity)?;
            workspace.give_identity(identity);
            z.scale_add(one, lower.into(), &b)?;
            products += 1;
        } else {
            let (left, right) =
                if gram.wide { (Op::Plain, Op::Transposed) } else { (Op::Transposed, Op::Plain) };
            a.gemm_symmetric(zero, one, now, left, now, right)?;
            a.gemm_symmetric(one, one, &z, Op::Plain, &z, Op::Plain)?;
            products += 3 + add_polynomial(&mut b, &p, &a)?;
            next.scale_add(zero, p.a.into(), now)?;
            multiply(gram.wide, next, 1.0, &b, now)?;
            if polynomials.peek().is_some() {
                z_next.scale_add(zero, p.a.into(), &z)?;
                z_next.gemm_symmetric(one, one, &b, Op::Plain, &z, Op::Plain)?;
                core::mem::swap(&mut z, &mut z_next);
                products += 1;
            }
        }
        core::mem::swap(&mut now, &mut next);
        first = false;
    }
    // The iteration ends at H / c.
    next.scale_add(zero, c.into(), now)?;
    for matrix in [a, b, z, z_next, other] {
        workspace.give(matrix);
    }
    let accuracy = Some(error + B::Element::EPSILON * (2.0 + 0.3 * libm::sqrt(alpha)));
    Ok(Info { steps, products, accuracy, ..Info::default() })
}

/// `out += f B X` or `f X B`.
fn multiply<M: Matrix>(wide: bool, out: &mut M, f: f64, b: &M, x: &M) -> Result<()> {
    if wide {
        out.gemm(Coefficient::ONE, f.into(), b, Op::Plain, x, Op::Plain)
    } else {
        out.gemm(Coefficient::ONE, f.into(), x, Op::Plain, b, Op::Plain)
    }
}
