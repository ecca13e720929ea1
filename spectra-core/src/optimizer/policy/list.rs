//! The gradients of one arithmetic type.

use crate::backend::{Backend, Coefficient, Matrix, Result, Scalar, ScalarOp};
use crate::linalg::{Workspace, norm_unit, squares_suffice};
use crate::optimizer::plan::Rule;
use crate::optimizer::{Config, PreClip};
use crate::rules::{UpdateRule, check_gradient, non_finite};
use alloc::vec::Vec;

/// A gradient, and what the checks ask of its parameter.
#[derive(Debug)]
pub struct Given<'a, B: Backend> {
    /// Its number in its list.
    pub index: usize,
    /// The parameter's name, for errors, if it is known.
    pub name: Option<&'a str>,
    /// What the plan made of the parameter; none is frozen.
    pub rule: Rule,
    /// Its rule.
    pub update: &'a dyn UpdateRule<B>,
    /// How many singular values it has: the smaller extent, or the sum of those of the blocks in it.
    pub rank: usize,
    /// G.
    pub gradient: &'a B::Matrix,
}

/// The gradients of a model that are of one arithmetic type.
#[derive(Debug)]
pub struct Gradients<'a, B: Backend, I> {
    /// The gradients, [`Given`] one by one.
    pub given: I,
    /// What takes the place of some, by number: the result of the pre-clip, or gradients divided by the unit of their norm.
    pub replaced: Vec<(usize, B::Matrix)>,
    /// Temporaries.
    pub workspace: &'a mut Workspace<B>,
}

/// What [`prepare`](super::prepare) does with [`Gradients`] of whatever type.
pub trait GradientList<S> {
    /// An error unless this factor leaves the pre-clip's threshold in its domain.
    fn check_threshold(&self, clip: &PreClip, factor: f64) -> Result<()>;

    /// The sum and that of all squares.
    fn add_squares(&self, sum: S) -> Result<S>;

    /// An error that names the first parameter with a non-finite gradient. **Waits** for the device.
    fn check_entries(&self) -> Result<()>;

    /// Replaces the gradients that `clip` concerns.
    fn pre_clip(&mut self, clip: &PreClip, factor: f64, check_finite: bool) -> Result<()>;

    /// How many entries there are.
    fn entries(&self) -> usize;

    /// [`Matrix::has_wide_dot`] of all.
    fn has_wide_dots(&self) -> bool;

    /// [`squares_suffice`] for this type.
    fn squares_suffice(&self, value: Option<f64>, entries: usize, is_wide: bool) -> bool;

    /// The largest magnitude of the entries and of `least`.
    fn largest(&self, least: S) -> Result<S>;

    /// [`norm_unit`] for this type.
    fn unit(&self, largest: &S) -> Result<S>;

    /// The sum and that of the squares of all gradients times `inverse`, which replace them if `replace`.
    fn divide(&mut self, inverse: &S, sum: S, replace: bool) -> Result<S>;

    /// An error that names the first parameter whose gradient is too large for its rule. `(factor, norm)`: that of the pre-clip's
    /// threshold, and the norm of all gradients before the clips, or infinity.
    fn check_range(&self, config: &Config, bound: (f64, f64), scale: Option<&S>) -> Result<()>;
}

impl<B: Backend> Clone for Given<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Given<'_, B> {}

impl<B: Backend> Given<'_, B> {
    /// The outcome, whose error names the parameter.
    fn named<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| match self.name {
            Some(name) => error.for_parameter(name),
            None => error,
        })
    }
}

impl<'a, B: Backend, I: Iterator<Item = Given<'a, B>> + Clone> Gradients<'a, B, I>
where
    B::Matrix: 'a,
{
    fn place(&self, index: usize) -> Option<usize> {
        self.replaced.iter().position(|(i, _)| *i == index)
    }

    /// The gradient, or what takes its place.
    fn now<'s>(&'s self, given: &Given<'s, B>) -> &'s B::Matrix {
        self.place(given.index).map_or(given.gradient, |at| &self.replaced[at].1)
    }
}

impl<'a, B: Backend, I: Iterator<Item = Given<'a, B>> + Clone> GradientList<B::Scalar> for Gradients<'a, B, I>
where
    B::Matrix: 'a,
{
    fn check_threshold(&self, clip: &PreClip, factor: f64) -> Result<()> {
        match self.given.clone().next() {
            Some(_) => clip.check_factor::<B::Element>(factor),
            None => Ok(()),
        }
    }

    fn add_squares(&self, sum: B::Scalar) -> Result<B::Scalar> {
        B::add_squares(sum, self.given.clone().map(|given| self.now(&given)))
    }

    fn check_entries(&self) -> Result<()> {
        for given in self.given.clone() {
            if !given.gradient.max_abs()?.read()?.is_finite() {
                return given.named(Err(non_finite()));
            }
        }
        Ok(())
    }

    fn pre_clip(&mut self, clip: &PreClip, factor: f64, check_finite: bool) -> Result<()> {
        for given in self.given.clone().filter(|given| clip.concerns(given.rule)) {
            let matrix = match clip.apply(given.gradient, factor, self.workspace) {
                // As in a step: nobody asked for the check, and the clip of what is not finite is NaN.
                Err(error) if !check_finite && error.is_non_finite() => {
                    not_a_number(given.gradient, self.workspace)
                }
                outcome => outcome,
            };
            self.replaced.push((given.index, given.named(matrix)?));
        }
        Ok(())
    }

    fn entries(&self) -> usize {
        let entries = |given: Given<'a, B>| given.gradient.shape().0 * given.gradient.shape().1;
        self.given.clone().map(entries).sum()
    }

    fn has_wide_dots(&self) -> bool {
        self.given.clone().all(|given| self.now(&given).has_wide_dot())
    }

    fn squares_suffice(&self, value: Option<f64>, entries: usize, is_wide: bool) -> bool {
        self.given.clone().next().is_none() || squares_suffice::<B::Element>(value, entries, is_wide)
    }

    fn largest(&self, mut least: B::Scalar) -> Result<B::Scalar> {
        for given in self.given.clone() {
            least = B::Scalar::combine(ScalarOp::Max, &least, &self.now(&given).max_abs()?)?;
        }
        Ok(least)
    }

    fn unit(&self, largest: &B::Scalar) -> Result<B::Scalar> {
        norm_unit(largest, self.workspace.backend())
    }

    fn divide(&mut self, inverse: &B::Scalar, mut sum: B::Scalar, replace: bool) -> Result<B::Scalar> {
        for given in self.given.clone() {
            let place = self.place(given.index);
            let source = place.map_or(given.gradient, |at| &self.replaced[at].1);
            let mut divided = self.workspace.take_like(source, source.shape().1)?;
            divided.scale_add(Coefficient::ZERO, Coefficient::device(1.0, inverse), source)?;
            sum = B::Scalar::combine(ScalarOp::Add, &sum, &divided.dot(&divided)?)?;
            match place {
                _ if !replace => self.workspace.give(divided),
                Some(at) => self.workspace.give(core::mem::replace(&mut self.replaced[at].1, divided)),
                None => self.replaced.push((given.index, divided)),
            }
        }
        Ok(sum)
    }

    fn check_range(
        &self,
        config: &Config,
        (factor, norm): (f64, f64),
        scale: Option<&B::Scalar>,
    ) -> Result<()> {
        for given in self.given.clone() {
            let bound = config.gradient_bound(given.rule, given.rank, factor, norm);
            given.named(check_gradient(given.update, self.now(&given), scale, bound))?;
        }
        Ok(())
    }
}

/// A matrix of NaN with the shape of a gradient that holds one or an infinity.
fn not_a_number<B: Backend>(gradient: &B::Matrix, workspace: &mut Workspace<B>) -> Result<B::Matrix> {
    let mut matrix = workspace.take_like(gradient, gradient.shape().1)?;
    matrix.scale_add(Coefficient::ZERO, f64::NAN.into(), gradient)?;
    Ok(matrix)
}
