//! Thin orthonormalisation of columns: scaled Cholesky QR, repeated or replaced when the condition demands.

use super::power_iteration::safe_scale;
use super::{SmallFactor, SmallInfo, Workspace};
use crate::backend::{Backend, Coefficient, Element, Fused, Matrix, Op, Result, Scalar};

/// How [`orthonormalize`] got there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orthonormalization {
    /// One Cholesky QR: the scaled Gram matrix was well conditioned.
    Cholesky,
    /// Cholesky QR twice (Yamamoto et al. 2015).
    CholeskyTwice,
    /// [`Fused::gram_schmidt`]: the columns were numerically dependent or nearly so, or too many for the host's Cholesky factor.
    GramSchmidt,
}

/// Up to this condition of the scaled Gram matrix one Cholesky QR leaves `||U^T U - I|| <= 8 c eps`, a few
/// roundings. A warm-started power iteration has 1.00 to 1.1.
const WELL_CONDITIONED: f64 = 8.0;

/// Columns of which a host's Cholesky factor, on one thread in `f64`, would take longer than Householder's reflections.
const MANY: usize = 512;

/// Whether one Cholesky QR is as good as two.
pub(crate) fn is_well_conditioned(info: Option<SmallInfo>) -> bool {
    info.is_some_and(|info| info.dead == 0 && info.condition <= WELL_CONDITIONED)
}

/// Replaces the columns of `p` (m x k, m >= k) by an orthonormal basis `U` with `P = U R`, R upper triangular,
/// `diag(R) >= 0`. A column that depends on earlier ones becomes zero.
///
/// `U = P R^-1` with `R` the Cholesky factor of `P^T P` after scaling its columns to unit length; a second
/// round if the scaled condition exceeds 8; Gram-Schmidt on the host beyond `1 / (16 k eps)`, where the Cholesky
/// factor no longer exists, or where the host knows (CPU) that squares of the entries would leave the element's range. There, with the
/// feature `faer`, Householder's reflections take the place of both for 512 columns or more: they take less time than the factor.
/// If the backend does not tell the condition without waiting: always two rounds.
///
/// # Errors
/// Those of the backend.
pub fn orthonormalize<B: Backend>(
    p: &mut B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<Orthonormalization> {
    let _scope = workspace.scope();
    B::orthonormalize(p, workspace)
}

/// [`orthonormalize`] by the backend's products and small factorisations.
///
/// # Errors
/// As [`orthonormalize`].
pub fn orthonormalize_by_gram_matrix<B: Backend>(
    p: &mut B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<Orthonormalization> {
    // The result comes about in a temporary: `p` is the caller's, and its handle must not end in the pool.
    let mut q = workspace.take_like(p, p.shape().1)?;
    let method = orthonormalize_into(p, &mut q, workspace)?;
    p.copy_from(&q)?;
    workspace.give(q);
    Ok(method)
}

/// [`orthonormalize_by_gram_matrix`] of `p` into `q`, both m x k. `q` must be the workspace's: its handle may be exchanged
/// for another one of the pool.
pub(crate) fn orthonormalize_into<B: Backend>(
    p: &B::Matrix,
    q: &mut B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<Orthonormalization> {
    let by_gram_schmidt = |q: &mut B::Matrix, workspace: &mut Workspace<B>| {
        q.copy_from(p)?;
        q.gram_schmidt(&mut workspace.scratch)?;
        Ok(Orthonormalization::GramSchmidt)
    };
    let k = p.shape().1;
    let largest = p.max_abs()?.known();
    let are_many =
        cfg!(feature = "faer") && k >= MANY && largest.is_some() && (!B::DISTRIBUTES || p.layout() == 0);
    if are_many || is_out_of_range::<B>(largest)? {
        return by_gram_schmidt(q, workspace);
    }
    let mut gram = workspace.take(k, k)?;
    let mut inverse = workspace.take(k, k)?;
    let info = factor(p, &mut gram, &mut inverse, workspace)?;
    let method = if has_no_factor::<B>(k, info) {
        by_gram_schmidt(q, workspace)
    } else {
        q.gemm(Coefficient::ZERO, Coefficient::ONE, p, Op::Plain, &inverse, Op::Plain)?;
        second_round(q, &mut gram, &mut inverse, info, workspace)
    };
    workspace.give(gram);
    workspace.give(inverse);
    method
}

/// `gram = P^T P`, `inverse = R^-1`.
pub(crate) fn factor<B: Backend>(
    p: &B::Matrix,
    gram: &mut B::Matrix,
    inverse: &mut B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<Option<SmallInfo>> {
    gram.gemm_symmetric(Coefficient::ZERO, Coefficient::ONE, p, Op::Transposed, p, Op::Plain)?;
    inverse.small_factor(SmallFactor::CholeskyInverse, gram, &mut workspace.scratch)
}

/// The rest of [`orthonormalize_into`] from `R^-1` and what was found out about it, in place: `p` must be the workspace's.
pub(crate) fn go_on<B: Backend>(
    p: &mut B::Matrix,
    gram: &mut B::Matrix,
    inverse: &mut B::Matrix,
    info: Option<SmallInfo>,
    workspace: &mut Workspace<B>,
) -> Result<Orthonormalization> {
    if has_no_factor::<B>(p.shape().1, info) {
        p.gram_schmidt(&mut workspace.scratch)?;
        return Ok(Orthonormalization::GramSchmidt);
    }
    multiply_in_place(p, inverse, workspace)?;
    second_round(p, gram, inverse, info, workspace)
}

/// After `P R^-1` with a factor of which `info` was found out: once more, unless it was well conditioned.
fn second_round<B: Backend>(
    p: &mut B::Matrix,
    gram: &mut B::Matrix,
    inverse: &mut B::Matrix,
    info: Option<SmallInfo>,
    workspace: &mut Workspace<B>,
) -> Result<Orthonormalization> {
    if is_well_conditioned(info) {
        return Ok(Orthonormalization::Cholesky);
    }
    let info = factor(p, gram, inverse, workspace)?;
    if has_no_factor::<B>(p.shape().1, info) {
        p.gram_schmidt(&mut workspace.scratch)?;
        return Ok(Orthonormalization::GramSchmidt);
    }
    multiply_in_place(p, inverse, workspace)?;
    Ok(Orthonormalization::CholeskyTwice)
}

/// Whether the host knows that the Gram matrix of k columns has no Cholesky factor to speak of.
pub(crate) fn has_no_factor<B: Backend>(k: usize, info: Option<SmallInfo>) -> bool {
    let limit = 1.0 / (16.0 * k as f64 * B::Element::EPSILON);
    info.is_some_and(|info| info.dead > 0 || info.condition > limit || info.condition.is_nan())
}

/// Whether the host knows that the squares of entries, the largest of which it may know, would leave the element's range.
fn is_out_of_range<B: Backend>(largest: Option<f64>) -> Result<bool> {
    let largest = largest.filter(|x| *x > 0.0 && x.is_finite());
    let square = largest.map(|x| (x * x).clamp(f64::MIN_POSITIVE, f64::MAX));
    Ok(safe_scale::<B::Element>(square)? != 1.0)
}

/// `x = x f` for a small square `f`. `x` must be the workspace's: its handle goes to the pool.
pub(crate) fn multiply_in_place<B: Backend>(
    x: &mut B::Matrix,
    f: &B::Matrix,
    workspace: &mut Workspace<B>,
) -> Result<()> {
    let mut product = workspace.take_like(x, f.shape().1)?;
    product.gemm(Coefficient::ZERO, Coefficient::ONE, x, Op::Plain, f, Op::Plain)?;
    core::mem::swap(x, &mut product);
    workspace.give(product);
    Ok(())
}
