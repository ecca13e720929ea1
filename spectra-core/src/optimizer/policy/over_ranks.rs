//! The gradients of a step whose matrices are distributed over ranks.

use super::GradientList;
use crate::backend::{Ranks, Result};
use crate::optimizer::{Config, PreClip};

/// A list of what is here of the gradients, as that of all ranks: what one finds out all know, and an error on one is an error on all.
pub(in crate::optimizer) struct OverRanks<'a, S> {
    /// What is here.
    pub(in crate::optimizer) list: &'a mut dyn GradientList<S>,
    /// The others.
    pub(in crate::optimizer) ranks: &'a dyn Ranks<S>,
    /// The entries of all gradients, on whatever rank.
    pub(in crate::optimizer) entries: usize,
    /// A norm of all gradients up to which no rule refuses any.
    pub(in crate::optimizer) harmless: f64,
    /// Whether the norm must be that of the gradients, not only an upper bound of it.
    pub(in crate::optimizer) exact: bool,
    /// [`Matrix::has_wide_dot`](crate::backend::Matrix::has_wide_dot).
    pub(in crate::optimizer) is_wide: bool,
    /// [`squares_suffice`](crate::linalg::squares_suffice) for the type.
    pub(in crate::optimizer) suffice: fn(Option<f64>, usize, bool) -> bool,
}

impl<S: Clone> OverRanks<'_, S> {
    /// What `f` makes of the part that is here.
    fn here<T>(&self, mut f: impl FnMut(&dyn GradientList<S>) -> Result<T>) -> Result<Option<T>> {
        let mut found = None;
        self.ranks.here(&mut || {
            found = Some(f(&*self.list)?);
            Ok(())
        })?;
        Ok(found)
    }

    fn reduced(
        &self,
        otherwise: S,
        f: impl FnMut(&dyn GradientList<S>) -> Result<S>,
        reduce: impl FnOnce(&dyn Ranks<S>, S) -> Result<S>,
    ) -> Result<S> {
        let found = self.here(f)?;
        reduce(self.ranks, found.unwrap_or(otherwise))
    }
}

impl<S: Clone> GradientList<S> for OverRanks<'_, S> {
    fn check_threshold(&self, clip: &PreClip, factor: f64) -> Result<()> {
        self.list.check_threshold(clip, factor)
    }

    /// `sum` is what all ranks have in common, 0: none of them adds it twice.
    fn add_squares(&self, sum: S) -> Result<S> {
        if !self.exact
            && let Some(bound) = self.ranks.bound()?
        {
            return Ok(bound);
        }
        self.reduced(sum.clone(), |list| list.add_squares(sum.clone()), |ranks, squares| ranks.sum(squares))
    }

    fn check_entries(&self) -> Result<()> {
        let outcome = self.here(|list| list.check_entries());
        self.ranks.vote(outcome.map(|_| ()))
    }

    fn pre_clip(&mut self, clip: &PreClip, factor: f64, check_finite: bool) -> Result<()> {
        let list = &mut *self.list;
        let outcome = self.ranks.here(&mut || list.pre_clip(clip, factor, check_finite));
        self.ranks.vote(outcome)
    }

    fn entries(&self) -> usize {
        self.entries
    }

    fn has_wide_dots(&self) -> bool {
        self.is_wide
    }

    fn squares_suffice(&self, value: Option<f64>, entries: usize, is_wide: bool) -> bool {
        (self.suffice)(value, entries, is_wide)
    }

    fn largest(&self, least: S) -> Result<S> {
        self.reduced(least.clone(), |list| list.largest(least.clone()), |ranks, largest| ranks.max(largest))
    }

    fn unit(&self, largest: &S) -> Result<S> {
        self.list.unit(largest)
    }

    fn divide(&mut self, inverse: &S, sum: S, replace: bool) -> Result<S> {
        let (list, mut found) = (&mut *self.list, sum.clone());
        self.ranks.here(&mut || {
            found = list.divide(inverse, sum.clone(), replace)?;
            Ok(())
        })?;
        self.ranks.sum(found)
    }

    /// No vote where the norm of all gradients tells every rank that there is nothing to refuse.
    fn check_range(&self, config: &Config, (factor, norm): (f64, f64), scale: Option<&S>) -> Result<()> {
        if norm <= self.harmless {
            return Ok(());
        }
        let outcome = self.here(|list| list.check_range(config, (factor, norm), scale));
        self.ranks.vote(outcome.map(|_| ()))
    }
}
