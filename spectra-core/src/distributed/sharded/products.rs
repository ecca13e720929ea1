//! Products of matrices that may be divided.

use super::super::{Axis, Collectives};
use super::matrix::{ShardedMatrix, other_distribution};
use crate::backend::{Backend, Coef, Coefficient, Fused, Op, Result, check_gemm};
use alloc::vec::Vec;

/// What of `op(A)` is divided.
fn turned(axis: Option<Axis>, op: Op) -> Option<Axis> {
    match (axis, op) {
        (Some(Axis::Rows), Op::Transposed) => Some(Axis::Cols),
        (Some(Axis::Cols), Op::Transposed) => Some(Axis::Rows),
        (axis, _) => axis,
    }
}

/// `out = beta out + alpha op_a(A) op_b(B)`; `local` is that of the parts.
///
/// If the inner extent is divided in both, the parts' products are summed over the ranks, and the result is whole on each; `beta out` is
/// what rank 0 adds. Otherwise rows are divided as those of `op_a(A)`, or columns as those of `op_b(B)`, and nothing is sent.
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
    match (turned(a.axis, op_a), turned(b.axis, op_b), out.axis) {
        (None, None, None)
        | (Some(Axis::Rows), None, Some(Axis::Rows))
        | (None, Some(Axis::Cols), Some(Axis::Cols)) => {
            local(&mut out.local, beta, alpha, &a.local, &b.local)
        }
        (Some(Axis::Cols), Some(Axis::Rows), None) => {
            let beta = if out.shared.rank == 0 { beta } else { Coefficient::ZERO };
            local(&mut out.local, beta, alpha, &a.local, &b.local)?;
            let shared = out.shared.clone();
            shared.sum(&mut [&mut out.local], &mut [])
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
        match (x.axis, c.axis) {
            (None, None) | (Some(Axis::Rows), None) => {}
            _ => return Err(other_distribution("gram_matrices")),
        }
        c.local.gemm_symmetric(zero, one, &x.local, Op::Transposed, &x.local, Op::Plain)?;
        if x.axis.is_some() {
            shared = Some(x.shared.clone());
            summands.push(&mut c.local);
        }
    }
    shared.map_or(Ok(()), |shared| shared.sum(&mut summands, &mut []))
}
