//! Tail shrink (2602.11185, Algorithm 1): the few dominant singular values are shrunk to the tail's scale.

use super::{MapItem, MapRule, Mapped, Moment, MomentumUpdate};
use crate::backend::{
    Backend, Coefficient, Element, Gradient, Matrix, Op, Result, Scalar, ScalarOp, domain, require,
};
use crate::linalg::{
    Iterating, Orthonormalization, PowerIteration, Subspace, SubspaceForm, Workspace, orthonormalize_into,
    safe_scale, uniform,
};
use crate::rules::{Energy, Sharding};
use crate::state::{BufferSpec, SUBSPACE, State};
use alloc::{vec, vec::Vec};

/// How the dominant subspace is chosen and tracked.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct TailShrink {
    /// `k = max(1, round(rank_ratio min(m, n)))`, halves away from zero; in (0, 1].
    pub rank_ratio: f64,
    /// The power iteration.
    pub power: PowerIteration,
    /// The subspace is iterated at every `refresh_every`-th step (1: always, as in the paper's Algorithm 1; its
    /// text says "intermittently"). In between the cached right subspace is kept and only projected on, at
    /// half the flops; but it is iterated before its time where it cannot be the dominant one: where a column of it is
    /// zero although there is a tail, or where it holds less of M than an average subspace of rank k,
    /// `||W||^2 / k < ||tail||^2 / (r - k)`. A backend that does not tell its host the norms without waiting
    /// (a GPU) iterates at every step.
    pub refresh_every: u64,
}

impl TailShrink {
    /// The paper's: ratio 0.015, T = 1, column norms, every step.
    pub const PAPER: Self = Self { rank_ratio: 0.015, power: PowerIteration::PAPER, refresh_every: 1 };
}

impl Default for TailShrink {
    /// [`PAPER`](Self::PAPER).
    fn default() -> Self {
        Self::PAPER
    }
}

impl TailShrink {
    /// The spike's rank `k` for an m x n matrix; 0 for an empty one.
    pub fn rank(&self, rows: usize, cols: usize) -> usize {
        let r = rows.min(cols);
        (libm::round(self.rank_ratio * r as f64) as usize).max(1).min(r)
    }

    /// An error if a setting is outside its domain.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the setting's name.
    pub fn validate(&self) -> Result<()> {
        let ratio = self.rank_ratio;
        require(ratio > 0.0 && ratio <= 1.0, "tail_shrink", "rank_ratio", ratio, "in (0, 1]")?;
        self.power.validate()?;
        let every = self.refresh_every;
        require(every >= 1, "tail_shrink", "refresh_every", every as f64, "at least 1")
    }
}

impl<B: Backend> MapRule<B> for TailShrink {
    fn name(&self) -> &'static str {
        "tail shrink"
    }

    fn buffers(&self, shape: (usize, usize)) -> Vec<BufferSpec> {
        let (rows, cols) = shape;
        let k = self.rank(rows, cols);
        // Where k = r the map is the identity.
        (k < rows.min(cols)).then(|| BufferSpec::made_by_rule(SUBSPACE, (cols, k))).into_iter().collect()
    }

    /// `6 mnk` an iteration.
    fn flops(&self, (rows, cols): (usize, usize)) -> f64 {
        let (m, n, k) = (rows as f64, cols as f64, self.rank(rows, cols) as f64);
        if k < m.min(n) { 6.0 * m * n * k * self.power.iterations as f64 } else { 0.0 }
    }

    /// As in the paper: where k = r there is nothing low-rank, between refreshes each matrix takes messages of its own, and the exact
    /// form sums more.
    fn sharding(&self, (rows, cols): (usize, usize)) -> Option<Sharding> {
        let rank = self.rank(rows, cols);
        let is_paper = self.refresh_every == 1 && self.power.form == SubspaceForm::ColumnNorms;
        let sharding = Sharding { rank, sweeps: self.power.iterations };
        (is_paper && rank < rows.min(cols)).then_some(sharding)
    }

    fn validate(&self) -> Result<()> {
        Self::validate(self)
    }

    /// With room for the step that is made of the products.
    ///
    /// The columns of V are no longer than `sqrt(n)` (random ones at first), so entries of `M V` are at most
    /// `sqrt(n) ||M||`. A host that does not know the norm cannot scale before the Gram matrix is formed, which holds the
    /// squares.
    fn largest_norm(&self, (rows, cols): (usize, usize), host_knows_norms: bool) -> f64 {
        let max = domain::largest::<B::Element>();
        if self.rank(rows, cols) == rows.min(cols) {
            return max;
        }
        let of_product = if host_knows_norms { max / 1024.0 } else { libm::sqrt(max / 1024.0) };
        of_product / libm::sqrt(cols as f64)
    }

    /// A subspace of another rank: columns left out, or random ones of the mean length added. The next power iteration
    /// orthonormalizes them.
    fn resize(&self, wanted: &BufferSpec, saved: &B::Matrix, backend: &B) -> Result<Option<B::Matrix>> {
        let (rows, cols) = saved.shape();
        if wanted.name != SUBSPACE || rows != wanted.rows {
            return Ok(None);
        }
        let mut values = vec![B::Element::narrow(0.0); rows * cols];
        saved.read(&mut values)?;
        let sum: f64 = values.iter().map(|x| x.widen() * x.widen()).sum();
        // Of numbers in [-1, 1) with the mean square 1/3.
        let size = libm::sqrt(3.0 * sum / (rows * cols).max(1) as f64);
        let random = |i, j| B::Element::narrow(size * uniform(self.power.seed, i, j));
        let entry = |i: usize, j: usize| values.get(i * cols + j).filter(|_| j < cols).copied();
        let resized: Vec<_> = (0..rows * wanted.cols)
            .map(|at| (at / wanted.cols, at % wanted.cols))
            .map(|(i, j)| entry(i, j).unwrap_or_else(|| random(i, j)))
            .collect();
        backend.upload(rows, wanted.cols, &resized).map(Some)
    }

    /// From a subspace of its own: nothing is kept.
    fn map(
        &self,
        direction: &B::Matrix,
        out: &mut B::Matrix,
        moment: &Moment,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        out.copy_from(direction)?;
        let shaped = tail_shrink(self, out, None, &mut None, moment.step, workspace)?;
        if let Some((left, right)) = &shaped.correction {
            out.gemm(Coefficient::ONE, (-1.0).into(), left, Op::Plain, right, Op::Transposed)?;
        }
        shaped.release(workspace);
        Ok(())
    }

    fn apply_all(&self, all: &mut [MapItem<'_, B>], workspace: &mut Workspace<B>) -> Result<()> {
        shrink_all(self, all, workspace)
    }

    fn gains_together(&self) -> bool {
        true
    }

    fn apply(
        &self,
        direction: &mut B::Matrix,
        update: MomentumUpdate<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        moment: &Moment,
        workspace: &mut Workspace<B>,
    ) -> Result<Mapped<B>> {
        state.with(SUBSPACE, |cache, _| {
            tail_shrink(self, direction, update, cache, moment.step, workspace).map(Mapped::Shaped)
        })
    }
}

/// The shaped matrix `O = M - left right^T`, kept factored: no m x n temporary.
#[derive(Debug)]
pub struct Shaped<B: Backend> {
    /// `left` (m x k) and `right` (n x k); `None` where the map is the identity.
    pub correction: Option<(B::Matrix, B::Matrix)>,
    /// `||O||_F^2`.
    pub norm_squared: B::Scalar,
    /// The tail's average scale; 0 for an empty tail.
    pub sigma_tail: B::Scalar,
    /// As [`Subspace::one_sweep`].
    pub one_sweep: Option<bool>,
    /// What the subspace captures; `None` where there is none.
    pub energy: Option<Energy<B::Scalar>>,
}

impl<B: Backend> Shaped<B> {
    /// Returns the temporaries to the pool.
    pub fn release(self, workspace: &mut Workspace<B>) {
        if let Some((left, right)) = self.correction {
            workspace.give(left);
            workspace.give(right);
        }
    }
}

/// Applies the tail shrink to `m` (m x n), optionally after `m = mu m + G` in the same pass:
///
/// `tail = M - U diag(s) V^T`, `sigma_tail = ||tail||_F / sqrt(r - k)`, `O = tail + sigma_tail U V^T`
///
/// with `r = min(m, n)`. Because `U diag(s) V^T = U W^T` is an exact projection,
/// `||tail||^2 = ||M||^2 - ||W||^2` and `O = M - U (W - sigma_tail V)^T`.
///
/// `cache` holds `V` (n x k) between steps; `None` bootstraps it. `step` counts from 0 and decides when the
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
enum Begun<'a, 'u, B: Backend> {
    /// It needed no iteration.
    Done(Shaped<B>),
    /// V is to be iterated, after this update.
    Iterate(&'a mut B::Matrix, MomentumUpdate<'u, B::Matrix>),
}

/// What comes before the iteration, or instead of it.
fn begin<'a, 'u, B: Backend>(
    options: &TailShrink,
    m: &mut B::Matrix,
    mut update: MomentumUpdate<'u, B::Matrix>,
    cache: &'a mut Option<B::Matrix>,
    step: u64,
    workspace: &mut Workspace<B>,
) -> Result<Begun<'a, 'u, B>> {
    options.validate()?;
    let (rows, cols) = m.shape();
    let (k, r) = (options.rank(rows, cols), rows.min(cols));
    if k == r {
        if let Some((mu, gradient)) = update {
            m.scale_add(mu.into(), gradient.scale, gradient.values)?;
        }
        let sigma_tail = workspace.backend().scalar(0.0)?;
        return Ok(Begun::Done(Shaped {
            correction: None,
            norm_squared: m.dot(m)?,
            sigma_tail,
            one_sweep: Some(true),
            energy: None,
        }));
    }
    let Some(v) = cache else {
        let (v, subspace) = options.power.bootstrap(m, update, k, workspace)?;
        let shaped = Measured::new(m, Side::Left, subspace, &v, workspace)?.shape(&v, workspace);
        *cache = Some(v);
        return shaped.map(Begun::Done);
    };
    if !step.is_multiple_of(options.refresh_every) && workspace.tells_norms()? {
        if let Some((mu, gradient)) = update.take() {
            m.scale_add(mu.into(), gradient.scale, gradient.values)?;
        }
        if let Some(shaped) = project_on(m, v, workspace)? {
            return Ok(Begun::Done(shaped));
        }
    }
    Ok(Begun::Iterate(v, update))
}

/// What comes after it.
fn end<B: Backend>(
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
    Measured::new(m, Side::Left, subspace, v, workspace)?.shape(v, workspace)
}

/// Several directions: those that are distributed over ranks are iterated in step.
fn shrink_all<B: Backend>(
    options: &TailShrink,
    all: &mut [MapItem<'_, B>],
    workspace: &mut Workspace<B>,
) -> Result<()> {
    let _scope = workspace.scope();
    let mut caches: Vec<_> = all.iter_mut().map(|item| item.state.take(SUBSPACE)).collect();
    let done = shrink_together(options, all, &mut caches, workspace);
    for (item, cache) in all.iter_mut().zip(caches) {
        if let Some(cache) = cache {
            item.state.put(SUBSPACE, cache);
        }
    }
    done
}

fn shrink_together<B: Backend>(
    options: &TailShrink,
    all: &mut [MapItem<'_, B>],
    caches: &mut [Option<B::Matrix>],
    workspace: &mut Workspace<B>,
) -> Result<()> {
    let mut waiting = Vec::new();
    for (item, cache) in all.iter_mut().zip(caches) {
        let (m, step) = (&mut *item.direction, item.moment.step);
        if m.layout() == 0 && m.column_layout() == 0 {
            item.mapped = Some(Mapped::Shaped(tail_shrink(options, m, item.update, cache, step, workspace)?));
            continue;
        }
        match begin(options, m, item.update, cache, step, workspace)? {
            Begun::Done(shaped) => item.mapped = Some(Mapped::Shaped(shaped)),
            Begun::Iterate(v, update) => waiting.push((item, v, update)),
        }
    }
    let mut iterating = Vec::with_capacity(waiting.len());
    for (item, v, update) in &mut waiting {
        let (m, v) = (&mut *item.direction, &mut **v);
        iterating.push(Iterating::<B>::begin(&options.power, m, *update, v, workspace)?);
    }
    options.power.iterate_together(&mut iterating, workspace)?;
    let subspaces: Vec<_> = iterating.into_iter().map(|one| one.finish(workspace)).collect();
    for ((item, v, _), subspace) in waiting.into_iter().zip(subspaces) {
        item.mapped = Some(Mapped::Shaped(end(options, item.direction, v, subspace?, workspace)?));
    }
    Ok(())
}

/// Between refreshes: with `Q` an orthonormal basis of the cached `V`, `P = M Q` and `U = thinQR(P)`,
/// `O = M - (P - sigma_tail U) Q^T`. None if V cannot be the dominant subspace of M. The host knows the norms.
fn project_on<B: Backend>(
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
        Some(measured.shape(&unit, workspace)?)
    };
    workspace.give(unit);
    Ok(shaped)
}

/// On which side of M the orthonormal basis multiplies.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    /// The spike is `U W^T`.
    Left,
    /// The spike is `W U^T`.
    Right,
}

/// The spike `U W^T` and the norms of what it leaves.
struct Measured<B: Backend> {
    side: Side,
    subspace: Subspace<B>,
    /// `||V||_F^2` of the polar part `U V^T`.
    v_squared: B::Scalar,
    /// `||tail||_F^2`, 0 where there is none.
    tail: B::Scalar,
    /// 1 where there is a tail, else 0.
    has_tail: B::Scalar,
    sigma_tail: B::Scalar,
}

impl<B: Backend> Measured<B> {
    fn new(
        m: &B::Matrix,
        side: Side,
        subspace: Subspace<B>,
        v: &B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Self> {
        use ScalarOp::{Div, Less, Max, Mul, Sub};
        let combine = <B::Scalar as Scalar>::combine;
        let backend = workspace.backend().clone();
        let number = |x: f64| backend.scalar(x);
        let (rows, cols) = m.shape();
        let (r, k) = (rows.min(cols), v.shape().1);
        let eps = <B::Element as Element>::EPSILON;
        let Subspace { u, w, scale, norm_squared, squares, .. } = &subspace;
        let (w_squared, v_squared) = match squares {
            Some(squares) => squares.clone(),
            None => (w.dot(w)?, v.dot(v)?),
        };
        let unscale = number(1.0 / (scale * scale))?;
        let spike = combine(Mul, &w_squared, &unscale)?;
        let mut tail = combine(Max, &combine(Sub, norm_squared, &spike)?, &number(0.0)?)?;
        let mut empty_below = 8.0 * eps;
        if let (Some(tail_known), Some(all)) = (tail.known(), norm_squared.known())
            && tail_known < libm::sqrt(eps) * all
        {
            let mut residual = workspace.take_like(m, cols)?;
            let (left, right) = if side == Side::Left { (u, w) } else { (w, u) };
            // W carries `scale`, so the residual does.
            residual.scale_add(Coefficient::ZERO, (*scale).into(), m)?;
            residual.gemm(Coefficient::ONE, (-1.0).into(), left, Op::Plain, right, Op::Transposed)?;
            tail = combine(Mul, &residual.dot(&residual)?, &unscale)?;
            workspace.give(residual);
            empty_below = 256.0 * eps * eps * (rows + cols) as f64;
        }
        let threshold = combine(Mul, norm_squared, &number(empty_below)?)?;
        let has_tail = combine(Less, &threshold, &tail)?;
        tail = combine(Mul, &tail, &has_tail)?;
        let sigma_tail = combine(Div, &tail, &number((r - k) as f64)?)?.sqrt()?;
        Ok(Self { side, subspace, v_squared, tail, has_tail, sigma_tail })
    }

    /// Whether the host knows that a basis of which `live` columns are not zero spans no dominant subspace: see
    /// [`TailShrink::refresh_every`].
    fn is_stale(&self, m: &B::Matrix, live: usize) -> bool {
        let ((rows, cols), k) = (m.shape(), self.subspace.u.shape().1);
        let (Some(tail), Some(all)) = (self.tail.known(), self.subspace.norm_squared.known()) else {
            return false;
        };
        let spike = (all - tail) / k as f64;
        tail > 0.0 && (live < k || spike < tail / (rows.min(cols) - k) as f64)
    }

    /// The correction `U (W - sigma_tail V)^T`, and the norm.
    fn shape(self, v: &B::Matrix, workspace: &mut Workspace<B>) -> Result<Shaped<B>> {
        use ScalarOp::{Add, Mul, Sub};
        let combine = <B::Scalar as Scalar>::combine;
        let Self { side, subspace, v_squared, tail, has_tail, sigma_tail } = self;
        let Subspace { u, mut w, scale, norm_squared, one_sweep, .. } = subspace;

        let energy = Some(Energy { total: norm_squared.clone(), tail: tail.clone() });
        // ||O||^2 = ||tail||^2 + sigma_tail^2 ||V||^2, or ||M||^2 where the map is the identity.
        let shrunk = combine(Mul, &combine(Mul, &sigma_tail, &sigma_tail)?, &v_squared)?;
        let no_tail = combine(Sub, &workspace.backend().scalar(1.0)?, &has_tail)?;
        let kept = combine(Mul, &no_tail, &norm_squared)?;
        let norm_squared = combine(Add, &combine(Add, &tail, &shrunk)?, &kept)?;

        // W <- W - sigma_tail V, or 0 where the map is the identity (sigma_tail is 0 there).
        w.scale_add(Coefficient::device(1.0 / scale, &has_tail), Coefficient::device(-1.0, &sigma_tail), v)?;
        let correction = Some(if side == Side::Left { (u, w) } else { (w, u) });
        Ok(Shaped { correction, norm_squared, sigma_tail, one_sweep, energy })
    }
}
