//! The state of one matrix: buffers by name.
//!
//! A [rule](crate::rules) alone says which buffers it keeps and of what shape; saved states, costs and moves to another device
//! ask it and know nothing else.

use crate::backend::{Backend, Error, ErrorKind, Matrix, Result, Scalar};
use crate::linalg::SixteenBits;
use alloc::vec::Vec;

/// First moment, or momentum.
pub const MOMENTUM: &str = "momentum";
/// Second moment: an average of squares.
pub const SECOND_MOMENT: &str = "second_moment";
/// Average of squares of the mapped direction, of its rows, columns or entries.
pub const MAPPED_SECOND_MOMENT: &str = "mapped_second_moment";
/// The same of the direction before the map.
pub const DIRECTION_SECOND_MOMENT: &str = "direction_second_moment";
/// The norm that weights on a sphere keep, 1 x 1.
pub const RADIUS: &str = "radius";
/// AdEMAMix's slow momentum.
pub const SLOW_MOMENTUM: &str = "slow_momentum";
/// MARS's gradient of the step before.
pub const LAST_GRADIENT: &str = "last_gradient";
/// The weights in the arithmetic type, where those of the model have 16 bits.
pub const MASTER: &str = "master";
/// Tail shrink's cached right subspace V, n x k.
pub const SUBSPACE: &str = "subspace";

/// A buffer that a rule keeps for a matrix; the name appears in saved states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferSpec {
    /// Its name, unique within the rule.
    pub name: &'static str,
    /// Its rows.
    pub rows: usize,
    /// Its columns.
    pub cols: usize,
    /// Whether it begins as zeros, which are made before the first step changes anything. Otherwise the rule makes it in the
    /// first step.
    pub zeros: bool,
    /// Whether it has fewer columns at times.
    pub narrower: bool,
    /// The 16 bits that it is [kept in](Backend::zeros_stored); `None`: the arithmetic type.
    pub format: Option<SixteenBits>,
}

impl BufferSpec {
    /// A buffer that begins as zeros.
    pub fn zeros(name: &'static str, (rows, cols): (usize, usize)) -> Self {
        Self { name, rows, cols, zeros: true, narrower: false, format: None }
    }

    /// A buffer that the rule makes in the first step.
    pub fn made_by_rule(name: &'static str, (rows, cols): (usize, usize)) -> Self {
        Self { name, rows, cols, zeros: false, narrower: false, format: None }
    }

    /// Whether a buffer of this shape can be it.
    pub fn fits(&self, (rows, cols): (usize, usize)) -> bool {
        rows == self.rows && (cols == self.cols || (self.narrower && cols < self.cols))
    }

    /// How many numbers it holds; the largest `usize` if there are more.
    pub fn numbers(&self) -> usize {
        self.rows.saturating_mul(self.cols)
    }

    /// How many bytes it has, of `width` for a number in the arithmetic type; the largest `usize` if there are more.
    pub fn bytes(&self, width: usize) -> usize {
        self.numbers().saturating_mul(if self.format.is_some() { 2 } else { width })
    }

    /// Zeros in its shape and format. `rows_like`: see [`Backend::zeros`].
    ///
    /// # Errors
    /// When memory cannot be had, or the backend does not know the format.
    pub fn make<B: Backend>(&self, backend: &B, rows_like: Option<&B::Matrix>) -> Result<B::Matrix> {
        match self.format {
            None => backend.zeros(self.rows, self.cols, rows_like),
            Some(format) => backend.zeros_stored(format, (self.rows, self.cols), rows_like),
        }
    }
}

/// Matrices by name, in the order in which they were made.
#[derive(Debug, Clone)]
pub struct State<M> {
    buffers: Vec<(&'static str, M)>,
}

impl<M> Default for State<M> {
    fn default() -> Self {
        Self { buffers: Vec::new() }
    }
}

impl<M> State<M> {
    /// The buffer of this name, if it exists.
    pub fn get(&self, name: &str) -> Option<&M> {
        self.buffers.iter().find(|(known, _)| *known == name).map(|(_, matrix)| matrix)
    }

    /// The buffer of this name.
    ///
    /// # Errors
    /// [`ErrorKind::State`] if it does not exist.
    pub fn named(&self, name: &str) -> Result<&M> {
        let missing = ErrorKind::State { reason: "a buffer that the rule asks for does not exist" };
        self.get(name).ok_or_else(|| Error::new("state", missing))
    }

    /// The buffer of this name, to change.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut M> {
        self.buffers.iter_mut().find(|(known, _)| *known == name).map(|(_, matrix)| matrix)
    }

    /// Puts a buffer in its place, and returns what was there.
    pub fn put(&mut self, name: &'static str, matrix: M) -> Option<M> {
        match self.get_mut(name) {
            Some(place) => Some(core::mem::replace(place, matrix)),
            None => {
                self.buffers.push((name, matrix));
                None
            }
        }
    }

    /// Takes a buffer out.
    pub fn take(&mut self, name: &str) -> Option<M> {
        let at = self.buffers.iter().position(|(known, _)| *known == name)?;
        Some(self.buffers.remove(at).1)
    }

    /// Runs `f` on a buffer that is out of its place meanwhile, so that it can be changed beside the others; absent if there is
    /// none, and what `f` leaves is put in its place.
    pub fn with<R>(&mut self, name: &'static str, f: impl FnOnce(&mut Option<M>, &mut Self) -> R) -> R {
        let at = self.buffers.iter().position(|(known, _)| *known == name);
        let mut buffer = at.map(|at| self.buffers.remove(at).1);
        let result = f(&mut buffer, self);
        if let Some(buffer) = buffer {
            let at = at.unwrap_or(self.buffers.len()).min(self.buffers.len());
            self.buffers.insert(at, (name, buffer));
        }
        result
    }

    /// All buffers with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &M)> {
        self.buffers.iter().map(|(name, matrix)| (*name, matrix))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.buffers.is_empty()
    }

    /// The same buffers, each changed by `f`.
    pub fn map<T>(self, mut f: impl FnMut(M) -> T) -> State<T> {
        State { buffers: self.buffers.into_iter().map(|(name, matrix)| (name, f(matrix))).collect() }
    }

    /// The same buffers, each changed by `f`, or its first error.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn try_map<T>(self, mut f: impl FnMut(M) -> Result<T>) -> Result<State<T>> {
        let changed = |(name, matrix)| Ok((name, f(matrix)?));
        Ok(State { buffers: self.buffers.into_iter().map(changed).collect::<Result<_>>()? })
    }

    /// Several buffers at once, to change.
    ///
    /// # Errors
    /// [`ErrorKind::State`] if one does not exist, or a name is given twice.
    pub fn all_mut<const N: usize>(&mut self, names: [&str; N]) -> Result<[&mut M; N]> {
        let missing = |reason| Error::new("state", ErrorKind::State { reason });
        let mut places = [0; N];
        for (place, name) in places.iter_mut().zip(names) {
            let at = self.buffers.iter().position(|(known, _)| *known == name);
            *place = at.ok_or_else(|| missing("a buffer that the rule asks for does not exist"))?;
        }
        let twice = |_| missing("a rule asks for one buffer twice");
        Ok(self.buffers.get_disjoint_mut(places).map_err(twice)?.map(|(_, matrix)| matrix))
    }
}

impl<M: Matrix> State<M> {
    /// [`all_mut`](Self::all_mut) of buffers with the shape of `like`, made of zeros where there are none yet.
    ///
    /// # Errors
    /// When memory cannot be had.
    pub fn zeros<B: Backend<Matrix = M>, const N: usize>(
        &mut self,
        names: [&'static str; N],
        like: &M,
        backend: &B,
    ) -> Result<[&mut M; N]> {
        for name in names {
            if self.get(name).is_none() {
                let (rows, cols) = like.shape();
                self.put(name, backend.zeros(rows, cols, Some(like))?);
            }
        }
        self.all_mut(names)
    }

    /// An error unless these are the buffers of `specs`, all numbers finite; one that the rule makes may be absent. **Waits** for the
    /// device.
    ///
    /// # Errors
    /// [`ErrorKind::State`] for a buffer that is missing, too many, of another shape, or with a non-finite number.
    pub fn check(&self, specs: &[BufferSpec]) -> Result<()> {
        let refuse = |reason| Err(Error::new("restore", ErrorKind::State { reason }));
        if specs.iter().any(|spec| spec.zeros && self.get(spec.name).is_none()) {
            return refuse("a buffer is missing");
        }
        for (name, matrix) in self.iter() {
            let Some(spec) = specs.iter().find(|spec| spec.name == name) else {
                return refuse("it has a buffer that its rule has not");
            };
            if !spec.fits(matrix.shape()) {
                return refuse("a buffer has the wrong shape");
            }
            if !matrix.max_abs()?.read()?.is_finite() {
                return refuse("a buffer holds a NaN or an infinity");
            }
        }
        Ok(())
    }

    /// Makes those buffers of `specs` that begin as zeros and do not exist yet.
    ///
    /// # Errors
    /// When memory cannot be had.
    pub fn reserve<B: Backend<Matrix = M>>(
        &mut self,
        specs: &[BufferSpec],
        weights: &M,
        backend: &B,
    ) -> Result<()> {
        for spec in specs.iter().filter(|spec| spec.zeros) {
            if self.get(spec.name).is_none() {
                let rows_like = (spec.rows == weights.shape().0).then_some(weights);
                self.put(spec.name, spec.make(backend, rows_like)?);
            }
        }
        Ok(())
    }
}
