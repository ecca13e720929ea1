//! How good a cached subspace is.

use crate::backend::{Backend, Coefficient, Matrix, Op, Result, Scalar, domain};
use crate::linalg::{PowerIteration, SubspaceForm, Workspace, orthonormalize};

/// What tail shrink's cached subspace is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SubspaceFigures {
    /// Its rank k.
    pub rank: usize,
    /// The share of the momentum's energy that it captures, as the step finds it: `||M Q||^2 / ||M||^2` with Q an orthonormal basis.
    pub captured: f64,
    /// The share that a subspace of that rank found afresh captures.
    pub possible: f64,
    /// Steps since it was iterated last, where that is known.
    pub since_refresh: Option<u64>,
}

/// Iterations from random columns after which a dominant subspace, if there is one, is found: its error falls by `(sigma_{k+1} / sigma_k)^2` in
/// each, and where these are close it does not matter which of the directions is meant.
const AFRESH: usize = 8;

/// Of `momentum` (m x n) and the cached `basis` (n x k); `None` for a zero momentum, or a basis of another matrix.
pub(super) fn subspace_figures<B: Backend>(
    momentum: &B::Matrix,
    basis: &B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<Option<SubspaceFigures>> {
    let ((rows, cols), (length, rank)) = (momentum.shape(), basis.shape());
    let largest = momentum.max_abs()?.read()?;
    if length != cols || rank == 0 || rank > rows.min(cols) || largest == 0.0 || !largest.is_finite() {
        return Ok(None);
    }
    let backend = workspace.backend().clone();
    // So that no square leaves the element's range; the reciprocal of a denormal is cut.
    let unit = (1.0 / largest).min(domain::largest::<B::Element>());
    let mut scaled = backend.zeros(rows, cols, Some(momentum))?;
    scaled.scale_add(Coefficient::ZERO, unit.into(), momentum)?;
    let all = scaled.dot(&scaled)?.read()?;

    let mut basis_now = backend.zeros(length, rank, Some(basis))?;
    basis_now.copy_from(basis)?;
    orthonormalize(&mut basis_now, workspace)?;
    let mut image = backend.zeros(rows, rank, Some(momentum))?;
    image.gemm(Coefficient::ZERO, Coefficient::ONE, &scaled, Op::Plain, &basis_now, Op::Plain)?;
    let captured = image.dot(&image)?.read()? / all;

    // Zero columns are replaced by random ones.
    basis_now.scale_add(Coefficient::ZERO, Coefficient::ZERO, basis)?;
    let afresh =
        PowerIteration { iterations: AFRESH, form: SubspaceForm::ColumnNorms, ..PowerIteration::PAPER };
    let found = afresh.iterate(&mut scaled, None, &mut basis_now, workspace)?;
    let possible = found.w.dot(&found.w)?.read()? / (found.scale * found.scale * all);
    found.release(workspace);
    // Neither is more than all, but for rounding.
    let (captured, possible) = (captured.min(1.0), possible.max(captured).min(1.0));
    Ok(Some(SubspaceFigures { rank, captured, possible, since_refresh: None }))
}
