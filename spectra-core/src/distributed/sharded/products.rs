//! Products of matrices that may be divided.

use super::super::Collectives;
use super::Spread;
use super::matrix::{ShardedMatrix, other_distribution};
use crate::backend::{Backend, Coef, Coefficient, Fused, Op, Result, check_gemm};
use alloc::vec::Vec;

/// How `op(A)` is distributed.
fn turned(spread: Option<Spread>, op: Op) -> Option<Spread> {
    match (spread, op) {
        (Some(Spread::Rows), Op::Transposed) => Some(Spread::Cols),
        (Some(Spread::Cols), Op::Transposed) => Some(Spread::Rows),
        (spread, _) => spread,
    }
}

/// `out = beta out + alpha op_a(A) op_b(B)`; `local` is that of the parts.
///
/// If the inner extent is divided in both, the parts' products are summed over the ranks, and the result is whole on each; `beta out` is
/// what rank 0 adds. Otherwise rows are divided as those of `op_a(A)`, or columns as those of `op_b(B)`, and nothing is sent.
///
/// A product of summands with a whole matrix is one of summands. `out` must be that, or, if nothing of it is read, whole: then it becomes that, until
/// [`Backend::sum_over_ranks`] makes it whole again.
pub(super) fn gemm<B: Backend, C: Collectives<B>>(
    out: &mut ShardedMatrix<B, C>,
    (beta, alpha): (Coef<'_, B::Matrix>, Coef<'_, B::Matrix>),
    (a, op_a): (&ShardedMatrix<B, C>, Op),
    (b, op_b): (&ShardedMatrix<B, C>, Op),
    local: impl FnOnce(
        &mut B::Matrix,
        Coef<'_, B::Matrix>,
        Coef<'_, B::Matrix>,
        &B::Matrix,
        &B::Matrix,
    ) -> Result<()>,
) -> Result<()> {
    check_gemm(out.shape, a.shape, op_a, b.shape, op_b)?;
    match (turned(a.spread, op_a), turned(b.spread, op_b), out.spread) {
        (None, None, None)
        | (Some(Spread::Rows), None, Some(Spread::Rows))
        | (None, Some(Spread::Cols), Some(Spread::Cols)) => {
            local(&mut out.local, beta, alpha, &a.local, &b.local)
        }
        (Some(Spread::Cols), Some(Spread::Rows), None) => {
            let beta = if out.shared.rank == 0 { beta } else { Coefficient::ZERO };
            local(&mut out.local, beta, alpha, &a.local, &b.local)?;
            let shared = out.shared.clone();
            shared.sum(&mut [&mut out.local], &mut [])
        }
        (Some(Spread::Summands), None, Some(Spread::Summands))
        | (None, Some(Spread::Summands), Some(Spread::Summands)) => {
            local(&mut out.local, beta, alpha, &a.local, &b.local)
        }
        (Some(Spread::Summands), None, None) | (None, Some(Spread::Summands), None) if beta.is_zero() => {
            local(&mut out.local, beta, alpha, &a.local, &b.local)?;
            out.spread = Some(Spread::Summands);
            Ok(())
        }
        _ => Err(other_distribution("gemm")),
    }
}

/// `C = X^T X` of several, with one message for those of divided rows.
pub(super) fn gram_matrices<'a, B: Backend + 'a, C: Collectives<B> + 'a>(
    pairs: impl Iterator<Item = (&'a mut ShardedMatrix<B, C>, &'a ShardedMatrix<B, C>)>,
) -> Result<()> {
    let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
    let mut summands = Vec::new();
    let mut shared = None;
    for (c, x) in pairs {
        check_gemm(c.shape, x.shape, Op::Transposed, x.shape, Op::Plain)?;
        match (x.spread, c.spread) {
            (None, None) | (Some(Spread::Rows), None) => {}
            _ => return Err(other_distribution("gram_matrices")),
        }
        c.local.gemm_symmetric(zero, one, &x.local, Op::Transposed, &x.local, Op::Plain)?;
        if x.spread.is_some() {
            shared = Some(x.shared.clone());
            summands.push(&mut c.local);
        }
    }
    shared.map_or(Ok(()), |shared| shared.sum(&mut summands, &mut []))
}

/// Whole matrices of those of summands, with one message; the others stay as they are.
pub(super) fn sum_over_ranks<B: Backend, C: Collectives<B>>(
    all: &mut [&mut ShardedMatrix<B, C>],
) -> Result<()> {
    let mut shared = None;
    let mut summands = Vec::new();
    for matrix in all.iter_mut().filter(|matrix| matrix.is_sum()) {
        shared = Some(matrix.shared.clone());
        summands.push(&mut matrix.local);
    }
    shared.map_or(Ok(()), |shared| shared.sum(&mut summands, &mut []))?;
    all.iter_mut().filter(|matrix| matrix.is_sum()).for_each(|matrix| matrix.spread = None);
    Ok(())
}
