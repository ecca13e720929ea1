//! The tail shrink of one matrix.

use super::TailShrink;
use super::measured::{Measured, Shaped, Side};
use crate::backend::{Backend, Coefficient, Gradient, Matrix, Op, Result, Scalar};
use crate::linalg::{Orthonormalization, Subspace, Workspace, orthonormalize_into, safe_scale};
use crate::maps::MomentumUpdate;

/// Applies the tail shrink to `m` (m x n), optionally after `m = mu m + G` in the same pass:
///
/// `tail = M - U diag(s) V^T`, `sigma_tail = ||tail||_F / sqrt(r - k)`, `O = f tail + sigma_tail U V^T`
///
/// with `r = min(m, n)` and the [factor](TailShrink::tail) f, 1 in the paper. Because `U diag(s) V^T = U W^T` is an exact projection,
/// `||tail||^2 = ||M||^2 - ||W||^2` and `O = f M - U (f W - sigma_tail V)^T`.
///
/// `cache` holds `V` (n x k) between steps; `None` bootstraps it, and of one of another rank the leading columns are taken, or random ones
/// added. `step` counts from 0 and decides when the
/// subspace is refreshed. A zero M leaves a zero V; at the first step at which M is no longer zero V is bootstrapped, whatever
/// `step` says. (Where the host does not know the norms: iterated from random columns.)
///
/// Defined where the paper divides 0 by 0: with an **empty tail** (k = r, or a matrix of rank at most k, that is
/// `||tail|| <= 16 eps sqrt(m + n) ||M||`) there is no scale to shrink to, and the map is the identity. If the host knows the
/// norms (CPU), a tail with less than `sqrt(eps)` of the energy is measured by forming `M - U W^T` in an m x n
/// temporary, because the difference of squares would lose its digits; otherwise
/// `||tail||^2 <= 8 eps ||M||^2` counts as empty.
///
/// # Errors
/// Invalid settings, a non-finite norm, and those of the backend.
pub fn tail_shrink<B: Backend>(
    options: &TailShrink,
    m: &mut B::Matrix,
    update: Option<(f64, &Gradient<'_, B::Matrix>)>,
    cache: &mut Option<B::Matrix>,
    step: u64,
    workspace: &mut Workspace<B>,
) -> Result<Shaped<B>> {
    let _scope = workspace.scope();
    let shaped = match begin(options, m, update, cache, step, workspace)? {
        Begun::Done(shaped) => return Ok(shaped),
        Begun::Iterate(v, update) => {
            let subspace = options.power.iterate(m, update, v, workspace)?;
            end(options, m, v, subspace, workspace)?
        }
    };
    Ok(shaped)
}

/// A tail shrink that has begun.
pub(super) enum Begun<'a, 'u, B: Backend> {
    /// It needed no iteration.
    Done(Shaped<B>),
    /// V is to be iterated, after this update.
    Iterate(&'a mut B::Matrix, MomentumUpdate<'u, B::Matrix>),
}

/// What comes before the iteration, or instead of it.
pub(super) fn begin<'a, 'u, B: Backend>(
    options: &TailShrink,
    m: &mut B::Matrix,
    mut update: MomentumUpdate<'u, B::Matrix>,
    cache: &'a mut Option<B::Matrix>,
    step: u64,
    workspace: &mut Workspace<B>,
) -> Result<Begun<'a, 'u, B>> {
    options.validate()?;
    let (rows, cols) = m.shape();
    let (k, r) = (options.rank_at(rows, cols, step), rows.min(cols));
    if k == r {
        if let Some((mu, gradient)) = update {
            m.scale_add(mu.into(), gradient.scale, gradient.values)?;
        }
        let sigma_tail = workspace.backend().scalar(0.0)?;
        return Ok(Begun::Done(Shaped {
            tail: 1.0,
            correction: None,
            norm_squared: m.dot(m)?,
            sigma_tail,
            one_sweep: Some(true),
            energy: None,
        }));
    }
    let Some(v) = cache else {
        let (v, subspace) = options.power.bootstrap(m, update, k, workspace)?;
        let measured = Measured::new(m, Side::Left, subspace, &v, workspace)?;
        let shaped = measured.shape(options, &v, workspace);
        *cache = Some(v);
        return shaped.map(Begun::Done);
    };
    if v.shape().1 != k {
        *v = with_rank(m, v, k, workspace)?;
    }
    if !step.is_multiple_of(options.refresh_every) && workspace.tells_norms()? {
        if let Some((mu, gradient)) = update.take() {
            m.scale_add(mu.into(), gradient.scale, gradient.values)?;
        }
        if let Some(shaped) = project_on(options, m, v, workspace)? {
            return Ok(Begun::Done(shaped));
        }
    }
    Ok(Begun::Iterate(v, update))
}

/// What comes after it.
pub(super) fn end<B: Backend>(
    options: &TailShrink,
    m: &mut B::Matrix,
    v: &mut B::Matrix,
    mut subspace: Subspace<B>,
    workspace: &mut Workspace<B>,
) -> Result<Shaped<B>> {
    // Only a host that has waited in any case, or has the norm, is told.
    if subspace.blind && subspace.norm_squared.read()? > 0.0 {
        subspace.release(workspace);
        subspace = options.power.restart(m, v, workspace)?;
    }
    Measured::new(m, Side::Left, subspace, v, workspace)?.shape(options, v, workspace)
}

/// The first k columns of V, or all with zero ones added, in whose place the next iteration puts random ones. The power iteration keeps the
/// columns in the order of what they hold, so the first are the leading ones.
fn with_rank<B: Backend>(
    m: &B::Matrix,
    v: &B::Matrix,
    k: usize,
    workspace: &mut Workspace<B>,
) -> Result<B::Matrix> {
    let selector = workspace.leading(v.shape().1, k)?;
    let mut resized = workspace.backend().zeros_across(m, k)?;
    resized.gemm(Coefficient::ZERO, Coefficient::ONE, v, Op::Plain, &selector, Op::Plain)?;
    workspace.give_leading(selector);
    Ok(resized)
}

/// Between refreshes: with `Q` an orthonormal basis of the cached `V`, `P = M Q` and `U = thinQR(P)`,
/// `O = f M - (f P - sigma_tail U) Q^T`. None if V cannot be the dominant subspace of M. The host knows the norms.
fn project_on<B: Backend>(
    options: &TailShrink,
    m: &B::Matrix,
    v: &B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<Option<Shaped<B>>> {
    let k = v.shape().1;
    let norm_squared = m.dot(m)?;
    let scale = safe_scale::<B::Element>(norm_squared.known())?;
    let mut basis = workspace.take_across(m, k)?;
    let live = match orthonormalize_into(v, &mut basis, workspace)? {
        // Which alone leaves zero columns.
        Orthonormalization::GramSchmidt => libm::round(basis.dot(&basis)?.read()?) as usize,
        Orthonormalization::Cholesky | Orthonormalization::CholeskyTwice => k,
    };
    let mut projection = workspace.take_like(m, k)?;
    projection.gemm(Coefficient::ZERO, scale.into(), m, Op::Plain, &basis, Op::Plain)?;
    let mut unit = workspace.take_like(m, k)?;
    orthonormalize_into(&projection, &mut unit, workspace)?;
    let subspace = Subspace {
        u: basis,
        w: projection,
        scale,
        norm_squared,
        blind: false,
        one_sweep: Some(true),
        squares: None,
    };
    let measured = Measured::new(m, Side::Right, subspace, &unit, workspace)?;
    let shaped = if measured.is_stale(m, live) {
        measured.subspace.release(workspace);
        None
    } else {
        Some(measured.shape(options, &unit, workspace)?)
    };
    workspace.give(unit);
    Ok(shaped)
}
