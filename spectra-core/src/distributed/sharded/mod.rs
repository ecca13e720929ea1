//! A backend whose matrices may be divided among ranks.

mod fused;
mod matrix;
mod products;
mod spread;
mod vote;

pub use matrix::ShardedMatrix;
pub use spread::Spread;
pub(in crate::distributed) use vote::{settle, to_text};

use super::{Axis, Collectives, Division};
use crate::backend::{Backend, Error, ErrorKind, Gradient, Matrix, PackedProducts, Ranks, Result};
use crate::backend::{Entrywise, check_shape, composed};
use crate::linalg::{Orthonormalization, PowerIteration, Subspace, Workspace};
use alloc::{rc::Rc, vec::Vec};
use core::cell::{Cell, RefCell};

/// A backend `B` on each of several ranks.
///
/// A matrix is either **whole**, and every operation on such ones is that of `B`, without a message; whether other ranks have the same
/// is the caller's affair. Or it is **divided**: its rows, or its columns, are [evenly](Division::even) distributed, and the ranks make
/// every operation with it together. Products along a divided side, `dot` and `max_abs` are reductions over the ranks; what is entry
/// by entry, and products across it, are local. Or each rank has a **summand** of it: what is linear is local, and a product with a whole matrix is again one
/// of summands, until [`sum_over_ranks`](Backend::sum_over_ranks) makes it whole: Dion's low-rank exchange. What would need a matrix in another
/// distribution is an error, never a copy that nobody asked for.
///
/// Tail shrink of a divided m x n matrix sends, for each sweep, the sum of `[P^T P | M^T P | ||M||^2]` if the rows are divided, of
/// `[M V | ||M||^2]` and then `[W^T W]` if the columns are: with the longer side divided `k^2 + k min(m, n) + 1` words, all matrices of a step
/// in [one call](Backend::power_sweeps). What is decided by the k x k matrices is decided alike, because every rank has the same bits of them and the
/// same code. CPUs that choose other kernels may differ in the last bits of what each rank makes of them for itself; should a decision depend on those, the
/// ranks make other calls, which is an error on all.
///
/// A handle: clones share the group and its temporaries, and belong to one thread.
#[derive(Debug)]
pub struct Sharded<B: Backend, C> {
    pub(super) shared: Rc<Shared<B, C>>,
}

/// What matrices and backend have in common.
#[derive(Debug)]
pub(super) struct Shared<B: Backend, C> {
    pub(super) backend: B,
    pub(super) group: RefCell<C>,
    /// Temporaries of the local operations.
    workspace: RefCell<Workspace<B>>,
    /// Whether reductions stay here: [`Ranks::here`].
    quiet: Cell<bool>,
    /// [`Ranks::bound`].
    bound: Cell<Option<f64>>,
    rank: usize,
    size: usize,
}

impl<B: Backend, C> Clone for Sharded<B, C> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<B: Backend, C: Collectives<B>> Sharded<B, C> {
    /// This rank's backend and its group.
    pub fn new(backend: B, group: C) -> Self {
        let (rank, size) = (group.rank(), group.size());
        let workspace = RefCell::new(Workspace::new(backend.clone()));
        let (group, quiet, bound) = (RefCell::new(group), Cell::new(false), Cell::new(None));
        Self { shared: Rc::new(Shared { backend, group, workspace, quiet, bound, rank, size }) }
    }

    /// The backend of this rank.
    pub fn local(&self) -> &B {
        &self.shared.backend
    }

    /// This rank.
    pub fn rank(&self) -> usize {
        self.shared.rank
    }

    /// How many ranks there are.
    pub fn size(&self) -> usize {
        self.shared.size
    }

    /// Runs `f` on the group.
    ///
    /// # Errors
    /// Those of `f`; if the group is in use by an operation that `f` is part of.
    pub fn with_group<R>(&self, f: impl FnOnce(&mut C) -> Result<R>) -> Result<R> {
        self.shared.with_group(f)
    }

    /// A matrix that is whole here.
    pub fn whole(&self, local: B::Matrix) -> ShardedMatrix<B, C> {
        ShardedMatrix { shape: local.shape(), local, spread: None, shared: self.shared.clone() }
    }

    /// A divided matrix of which this is the part that is here.
    ///
    /// # Errors
    /// A part of another shape.
    pub fn divided(&self, shape: (usize, usize), axis: Axis, part: B::Matrix) -> Result<ShardedMatrix<B, C>> {
        let division = Division::even(shape, axis, self.size());
        check_shape("divided", division.part(self.rank()), part.shape())?;
        // A rank alone has everything.
        let spread = Some(axis.into()).filter(|_| self.size() > 1);
        Ok(ShardedMatrix { shape, local: part, spread, shared: self.shared.clone() })
    }

    /// A matrix of which this is the summand that is here.
    pub fn summand(&self, local: B::Matrix) -> ShardedMatrix<B, C> {
        self.whole(local).into_summand()
    }

    /// A matrix of this shape that is whole on another rank: nothing is here.
    pub(super) fn elsewhere(&self, rows: usize, cols: usize) -> Result<ShardedMatrix<B, C>> {
        let local = self.shared.backend.zeros(0, 0, None)?;
        Ok(ShardedMatrix { shape: (rows, cols), local, spread: None, shared: self.shared.clone() })
    }

    /// Sets an upper bound of the norm of all gradients of the step that is about to be prepared.
    pub(super) fn set_bound(&self, bound: Option<f64>) {
        self.shared.bound.set(bound);
    }

    fn zeros_on(&self, (rows, cols): (usize, usize), spread: Option<Spread>) -> Result<ShardedMatrix<B, C>> {
        let (m, n) = match spread.and_then(Spread::axis) {
            Some(axis) => Division::even((rows, cols), axis, self.size()).part(self.rank()),
            None => (rows, cols),
        };
        let local = self.shared.backend.zeros(m, n, None)?;
        Ok(ShardedMatrix { shape: (rows, cols), local, spread, shared: self.shared.clone() })
    }
}

impl<B: Backend, C> Shared<B, C> {
    pub(super) fn with_group<R>(&self, f: impl FnOnce(&mut C) -> Result<R>) -> Result<R> {
        let mut group = self.group.try_borrow_mut().map_err(|_| in_use())?;
        f(&mut group)
    }

    fn with_workspace<R>(&self, f: impl FnOnce(&mut Workspace<B>) -> Result<R>) -> Result<R> {
        let mut workspace = self.workspace.try_borrow_mut().map_err(|_| in_use())?;
        f(&mut workspace)
    }
}

impl<B: Backend, C> Shared<B, C> {
    /// How a matrix of this shape is distributed that has the rows of `like`: altogether as that one, if it has its shape, otherwise in its rows.
    fn spread_like(&self, like: &ShardedMatrix<B, C>, shape: (usize, usize)) -> Option<Spread> {
        like.spread.filter(|spread| *spread == Spread::Rows || like.shape == shape)
    }
}

impl<B: Backend, C: Collectives<B>> Shared<B, C> {
    /// Sums over the ranks, unless reductions stay here.
    fn sum(&self, matrices: &mut [&mut B::Matrix], numbers: &mut [&mut B::Scalar]) -> Result<()> {
        if self.quiet.get() {
            return Ok(());
        }
        self.with_group(|group| group.sum(&self.backend, matrices, numbers))
    }
}

fn in_use() -> Error {
    Error::new("sharded", ErrorKind::State { reason: "the group of ranks is in use by another operation" })
}

impl<B: Backend, C: Collectives<B>> Backend for Sharded<B, C> {
    const DISTRIBUTES: bool = true;

    type Element = B::Element;
    type Scalar = B::Scalar;
    type Matrix = ShardedMatrix<B, C>;

    /// Distributed as `rows_like`: altogether, if it has that shape, otherwise in its rows.
    fn zeros(&self, rows: usize, cols: usize, rows_like: Option<&Self::Matrix>) -> Result<Self::Matrix> {
        let spread = rows_like.and_then(|like| self.shared.spread_like(like, (rows, cols)));
        self.zeros_on((rows, cols), spread)
    }

    fn zeros_across(&self, like: &Self::Matrix, cols: usize) -> Result<Self::Matrix> {
        let spread = (like.spread == Some(Spread::Cols)).then_some(Spread::Rows);
        self.zeros_on((like.shape.1, cols), spread)
    }

    fn ranks(&self) -> Option<&dyn Ranks<Self::Scalar>> {
        Some(self)
    }

    fn product_epsilon(&self) -> f64 {
        self.shared.backend.product_epsilon()
    }

    fn scalar(&self, value: f64) -> Result<Self::Scalar> {
        self.shared.backend.scalar(value)
    }

    fn entrywise_add<const N: usize>(
        mut matrices: [&mut Self::Matrix; N],
        factors: (f64, f64),
        rule: Entrywise,
        gradient: &Gradient<'_, Self::Matrix>,
        workspace: &mut Workspace<Self>,
    ) -> Result<()> {
        rule.check(&matrices.each_ref().map(|x| x.shape), gradient.values.shape)?;
        let spread = gradient.values.spread;
        if gradient.values.is_sum() || matrices.iter().any(|x| x.spread != spread) {
            return Err(matrix::other_distribution("entrywise_add"));
        }
        if spread.is_some() && matches!(rule, Entrywise::Mars { .. }) {
            // Its norm is one of all ranks.
            return composed::entrywise_add(matrices, factors, rule, gradient, workspace);
        }
        let local = Gradient { values: &gradient.values.local, scale: gradient.scale };
        let locals = matrices.each_mut().map(|x| &mut x.local);
        let shared = workspace.backend().shared.clone();
        shared.with_workspace(|workspace| B::entrywise_add(locals, factors, rule, &local, workspace))
    }

    fn power_iteration(
        options: &PowerIteration,
        m: &mut Self::Matrix,
        update: Option<(f64, &Gradient<'_, Self::Matrix>)>,
        v: &mut Self::Matrix,
        workspace: &mut Workspace<Self>,
    ) -> Result<Subspace<Self>> {
        if m.spread.is_some() || v.spread.is_some() {
            return options.iterate_by_sweeps(m, update, v, workspace);
        }
        let backend = workspace.backend().clone();
        let local = update.map(|(mu, g)| (mu, Gradient { values: &g.values.local, scale: g.scale }));
        let local = local.as_ref().map(|(mu, gradient)| (*mu, gradient));
        let found = backend.shared.with_workspace(|workspace| {
            B::power_iteration(options, &mut m.local, local, &mut v.local, workspace)
        })?;
        let Subspace { u, w, scale, norm_squared, blind, one_sweep, squares } = found;
        let (u, w) = (backend.whole(u), backend.whole(w));
        Ok(Subspace { u, w, scale, norm_squared, blind, one_sweep, squares })
    }

    fn power_sweeps(all: &mut [impl PackedProducts<Self::Matrix>]) -> Result<()> {
        let mut sweeps: Vec<_> = all.iter_mut().filter_map(|one| one.sweep()).collect();
        fused::sweep_together(&mut sweeps)
    }

    fn gram_matrices(all: &mut [impl PackedProducts<Self::Matrix>]) -> Result<()> {
        products::gram_matrices(all.iter_mut().filter_map(|one| one.gram()))
    }

    fn sum_over_ranks(all: &mut [&mut Self::Matrix]) -> Result<()> {
        products::sum_over_ranks(all)
    }

    fn orthonormalize(p: &mut Self::Matrix, workspace: &mut Workspace<Self>) -> Result<Orthonormalization> {
        if p.spread.is_some() {
            return crate::linalg::orthonormalize_by_gram_matrix(p, workspace);
        }
        let shared = workspace.backend().shared.clone();
        shared.with_workspace(|workspace| B::orthonormalize(&mut p.local, workspace))
    }
}
