//! Temporaries that are allocated on the first step and reused afterwards.

use super::{Scratch, SmallFactor};
use crate::backend::{Backend, Fused, Matrix, Result, Scalar};
use alloc::{vec, vec::Vec};
use num_traits::{One, Zero};

/// Rows, columns, layout.
type Key = (usize, usize, usize);

/// Stands for the layout under which identity matrices are kept.
const IDENTITY: usize = usize::MAX;
/// The same for matrices of ones.
const ONES: usize = usize::MAX - 1;
/// The same for the first columns of an identity.
const LEADING: usize = usize::MAX - 3;
/// The same for iterates in 16 bits.
const ITERATE: usize = usize::MAX - 2;

/// A pool of temporary matrices, shared by all parameters of an optimizer.
///
/// [`take`](Self::take) hands out a matrix of the asked shape with unspecified contents, [`give`](Self::give)
/// takes it back. Parameters of equal shape share the same temporaries, so the pool holds one set per shape. Algorithms give
/// back what they took: a handle of the caller's never enters the pool. With the workspace goes all that it holds, working
/// memory of the CPU kernels included.
#[derive(Debug)]
pub struct Workspace<B: Backend> {
    backend: B,
    pool: Vec<(Key, Vec<B::Matrix>)>,
    tells_norms: Option<bool>,
    tells_dead_columns: Option<bool>,
    /// Working memory of the CPU kernels, once an algorithm has run.
    #[cfg(feature = "faer")]
    kernels: std::sync::OnceLock<alloc::sync::Arc<crate::faer::Pool>>,
    /// Host buffers for the small factorisations.
    pub scratch: Scratch<B::Element>,
}

impl<B: Backend> Workspace<B> {
    /// An empty pool on `backend`.
    pub fn new(backend: B) -> Self {
        Self {
            backend,
            pool: Vec::new(),
            tells_norms: None,
            tells_dead_columns: None,
            #[cfg(feature = "faer")]
            kernels: Default::default(),
            scratch: Scratch::new(),
        }
    }

    /// The device.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// A matrix with the rows (and their distribution) of `rows_like` and `cols` columns, contents unspecified.
    ///
    /// # Errors
    /// When memory cannot be had.
    pub fn take_like(&mut self, rows_like: &B::Matrix, cols: usize) -> Result<B::Matrix> {
        let rows = rows_like.shape().0;
        match self.reuse((rows, cols, rows_like.row_layout(cols))) {
            Some(matrix) => Ok(matrix),
            None => self.backend.zeros(rows, cols, Some(rows_like)),
        }
    }

    /// A replicated matrix, contents unspecified.
    ///
    /// # Errors
    /// When memory cannot be had.
    pub fn take(&mut self, rows: usize, cols: usize) -> Result<B::Matrix> {
        match self.reuse((rows, cols, 0)) {
            Some(matrix) => Ok(matrix),
            None => self.backend.zeros(rows, cols, None),
        }
    }

    /// A matrix with a row for each column of `like`, distributed as those are, contents unspecified.
    ///
    /// # Errors
    /// When memory cannot be had.
    pub fn take_across(&mut self, like: &B::Matrix, cols: usize) -> Result<B::Matrix> {
        match self.reuse((like.shape().1, cols, like.column_layout())) {
            Some(matrix) => Ok(matrix),
            None => self.backend.zeros_across(like, cols),
        }
    }

    /// Takes a temporary back.
    pub fn give(&mut self, matrix: B::Matrix) {
        let (rows, cols) = matrix.shape();
        self.put((rows, cols, matrix.layout()), matrix);
    }

    /// A replicated iterate in the backend's [format](Backend::iterate_format), contents unspecified; to be given back by
    /// [`give_iterate`](Self::give_iterate).
    ///
    /// # Errors
    /// When memory cannot be had.
    pub fn take_iterate(&mut self, rows: usize, cols: usize) -> Result<B::Matrix> {
        if self.backend.iterate_format().is_none() {
            return self.take(rows, cols);
        }
        match self.reuse((rows, cols, ITERATE)) {
            Some(matrix) => Ok(matrix),
            None => self.backend.zeros_iterate(rows, cols),
        }
    }

    /// The same with the shape, and, where iterates are ordinary matrices, the distribution of `x`.
    ///
    /// # Errors
    /// When memory cannot be had.
    pub fn take_iterate_like(&mut self, x: &B::Matrix) -> Result<B::Matrix> {
        let (rows, cols) = x.shape();
        if self.backend.iterate_format().is_some() {
            self.take_iterate(rows, cols)
        } else {
            self.take_like(x, cols)
        }
    }

    /// A matrix of the pool as an iterate: itself, or its entries rounded.
    pub(crate) fn iterate_of(&mut self, matrix: B::Matrix) -> Result<B::Matrix> {
        if self.backend.iterate_format().is_none() {
            return Ok(matrix);
        }
        let (rows, cols) = matrix.shape();
        let mut iterate = self.take_iterate(rows, cols)?;
        iterate.copy_from(&matrix)?;
        self.give(matrix);
        Ok(iterate)
    }

    /// Takes an iterate back.
    pub fn give_iterate(&mut self, matrix: B::Matrix) {
        if self.backend.iterate_format().is_none() {
            return self.give(matrix);
        }
        let (rows, cols) = matrix.shape();
        self.put((rows, cols, ITERATE), matrix);
    }

    /// Until the guard is dropped, the kernels that this thread calls take their working memory from here. Every public
    /// algorithm begins with it.
    #[cfg(feature = "faer")]
    pub(crate) fn scope(&self) -> crate::faer::Scope {
        crate::faer::enter(self.kernels.get_or_init(Default::default))
    }

    /// There are no kernels that need working memory.
    #[cfg(not(feature = "faer"))]
    pub(crate) fn scope(&self) -> NoScope {
        NoScope
    }

    /// Whether the host knows a norm without waiting; found out once.
    pub(crate) fn tells_norms(&mut self) -> Result<bool> {
        if let Some(known) = self.tells_norms {
            return Ok(known);
        }
        let one = self.backend.zeros(1, 1, None)?;
        Ok(*self.tells_norms.insert(one.dot(&one)?.known().is_some()))
    }

    /// Whether a small factorisation says how many columns are dead; found out once.
    pub(crate) fn tells_dead_columns(&mut self) -> Result<bool> {
        if let Some(known) = self.tells_dead_columns {
            return Ok(known);
        }
        let (one, mut factor) = (self.backend.zeros(1, 1, None)?, self.backend.zeros(1, 1, None)?);
        let info = factor.small_factor(SmallFactor::ColumnNormalizer, &one, &mut self.scratch)?;
        Ok(*self.tells_dead_columns.insert(info.is_some()))
    }

    /// Orders the temporaries that wait here, so that whoever takes the same ones in the same order gets the same memory, in whatever
    /// order it was given back. `place` tells matrices apart.
    pub fn arrange(&mut self, place: impl Fn(&B::Matrix) -> u64) {
        self.pool.iter_mut().for_each(|(_, free)| free.sort_unstable_by_key(&place));
    }

    fn put(&mut self, key: Key, matrix: B::Matrix) {
        match self.pool.iter_mut().find(|(k, _)| *k == key) {
            Some((_, free)) => free.push(matrix),
            None => self.pool.push((key, Vec::from([matrix]))),
        }
    }

    /// The n x n identity, uploaded once and kept; to be given back, unchanged, by
    /// [`give_identity`](Self::give_identity).
    pub(crate) fn identity(&mut self, n: usize) -> Result<B::Matrix> {
        if let Some(matrix) = self.reuse((n, n, IDENTITY)) {
            return Ok(matrix);
        }
        let mut values = vec![B::Element::zero(); n * n];
        values.iter_mut().step_by(n + 1).for_each(|x| *x = B::Element::one());
        self.backend.upload(n, n, &values)
    }

    /// Takes an identity back.
    pub(crate) fn give_identity(&mut self, matrix: B::Matrix) {
        let n = matrix.shape().0;
        self.put((n, n, IDENTITY), matrix);
    }

    /// The first k columns of the identity of n rows, uploaded once and kept; to be given back, unchanged, by
    /// [`give_leading`](Self::give_leading). A product with it selects the first k columns.
    pub(crate) fn leading(&mut self, n: usize, k: usize) -> Result<B::Matrix> {
        if let Some(matrix) = self.reuse((n, k, LEADING)) {
            return Ok(matrix);
        }
        let mut values = vec![B::Element::zero(); n * k];
        values.iter_mut().step_by(k + 1).take(n.min(k)).for_each(|x| *x = B::Element::one());
        self.backend.upload(n, k, &values)
    }

    /// Takes such columns back.
    pub(crate) fn give_leading(&mut self, matrix: B::Matrix) {
        let (n, k) = matrix.shape();
        self.put((n, k, LEADING), matrix);
    }

    /// A matrix of ones, uploaded once and kept; to be given back, unchanged, by [`give_ones`](Self::give_ones). Products with it are
    /// sums over rows and columns, and copies of one along the other.
    pub(crate) fn ones(&mut self, rows: usize, cols: usize) -> Result<B::Matrix> {
        match self.reuse((rows, cols, ONES)) {
            Some(matrix) => Ok(matrix),
            None => self.backend.upload(rows, cols, &vec![B::Element::one(); rows * cols]),
        }
    }

    /// Takes a matrix of ones back.
    pub(crate) fn give_ones(&mut self, matrix: B::Matrix) {
        let (rows, cols) = matrix.shape();
        self.put((rows, cols, ONES), matrix);
    }

    fn reuse(&mut self, key: Key) -> Option<B::Matrix> {
        self.pool.iter_mut().find(|(k, _)| *k == key).and_then(|(_, free)| free.pop())
    }
}

/// See [`Workspace::scope`].
#[cfg(not(feature = "faer"))]
pub(crate) struct NoScope;
