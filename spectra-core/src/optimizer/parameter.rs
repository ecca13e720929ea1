//! One parameter's optimizer: the step that composes direction, spectral map and scale.

use super::{Recipe, StepScale};
use crate::backend::{Backend, Coefficient, Element, Gradient, Matrix, Result, check_same, domain, require};
use crate::directions::{Slot, Slots, Target, buffer};
use crate::linalg::Workspace;
use crate::maps::{Mapped, SpectralMap};

/// The rates of one step, from the schedules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Learning rate, >= 0 and at most 4.2e9 in `f32`; times the recipe's weight decay at most 1.
    pub lr: f64,
    /// Factor of the clip threshold, positive: `c_t = c clip_factor`, in the threshold's own domain.
    pub clip_factor: f64,
}

impl Rates {
    /// An error if a rate is outside its domain for a step of `recipe` in arithmetic of type `E`.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the rate's name.
    pub fn validate<E: Element>(&self, recipe: &Recipe) -> Result<()> {
        domain::rate::<E>("learning rate", "lr", self.lr)?;
        let decay = self.lr * recipe.weight_decay;
        require(decay <= 1.0, "learning rate", "lr * weight_decay", decay, "at most 1")?;
        let factor = self.clip_factor;
        require(
            factor > 0.0 && factor.is_finite(),
            "clip threshold",
            "factor",
            factor,
            "positive and finite",
        )?;
        recipe.map.check_clip_factor::<E>(factor)
    }
}

/// What a step found out.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepInfo {
    /// Tail shrink: whether the subspace took one pass over the momentum. `Some(false)` when the columns of
    /// `M V` were too ill-conditioned for it and the stable form was used.
    pub one_sweep: Option<bool>,
}

/// The state and the recipe of one parameter.
#[derive(Debug)]
pub struct ParameterState<B: Backend> {
    /// The recipe.
    pub recipe: Recipe,
    /// The buffers.
    pub slots: Slots<B::Matrix>,
    /// Steps taken.
    pub steps: u64,
}

impl<B: Backend> ParameterState<B> {
    /// An empty state; buffers are made on the first step.
    ///
    /// # Errors
    /// A setting of the recipe outside its domain.
    pub fn new(recipe: Recipe) -> Result<Self> {
        recipe.validate::<B::Element>()?;
        Ok(Self { recipe, slots: Slots::default(), steps: 0 })
    }

    /// Makes the buffers of the direction that do not exist yet: zeros of the shape of `like`, which mean the same as none.
    ///
    /// # Errors
    /// When memory cannot be had.
    pub fn reserve(&mut self, like: &B::Matrix, backend: &B) -> Result<()> {
        for slot in self.recipe.direction.slots() {
            buffer(self.slots.place(*slot), like, backend)?;
        }
        Ok(())
    }

    /// One step: `X <- (1 - lr wd) X - lr scale map(direction(G))`.
    ///
    /// Gradients must be finite ([`Optimizer`](super::Optimizer) checks them). After the first step a CPU backend
    /// allocates nothing; a device backend does not wait unless its small factorisations do.
    ///
    /// # Errors
    /// Rates, shapes, and memory for the direction's buffers, before anything has changed. Afterwards those of the device, of
    /// memory for temporaries, and of a map that finds a NaN or an infinity: then weights and buffers may be between two steps, and
    /// the step is not counted. [`Optimizer`](super::Optimizer) remembers that; whoever calls this method has to.
    pub fn step(
        &mut self,
        weights: &mut B::Matrix,
        gradient: &Gradient<'_, B::Matrix>,
        rates: Rates,
        workspace: &mut Workspace<B>,
    ) -> Result<StepInfo> {
        rates.validate::<B::Element>(&self.recipe)?;
        check_same("step", weights, gradient.values)?;
        let _scope = workspace.scope();
        if let Some(state) = &self.slots.momentum {
            check_same("step", state, gradient.values)?;
        }
        self.reserve(gradient.values, workspace.backend())?;
        let (rows, cols) = weights.shape();
        let scale = self.recipe.scale.of_shape(rows, cols);
        let info = match (self.recipe.map, scale) {
            (SpectralMap::Identity, Some(scale)) => {
                // Straight to the weights: no temporary.
                let Self { recipe, slots, steps } = self;
                let decay = 1.0 - rates.lr * recipe.weight_decay;
                let target = Target { out: weights, beta: decay, alpha: -rates.lr * scale };
                recipe.direction.advance(slots, gradient, *steps + 1, target, workspace)?;
                StepInfo::default()
            }
            _ => self.mapped_step(weights, gradient, rates, workspace)?,
        };
        self.steps += 1;
        Ok(info)
    }

    fn mapped_step(
        &mut self,
        weights: &mut B::Matrix,
        gradient: &Gradient<'_, B::Matrix>,
        rates: Rates,
        workspace: &mut Workspace<B>,
    ) -> Result<StepInfo> {
        let Self { recipe, slots, steps } = self;
        let mut temporary = None;
        // The direction: the momentum buffer itself where it is one, so that the map may fuse its update.
        let (direction, update) = match recipe.direction.as_momentum() {
            Some((mu, c)) => {
                let buffer = buffer(&mut slots.momentum, gradient.values, workspace.backend())?;
                (buffer, Some((mu, Gradient { scale: gradient.scale.times(c), ..*gradient })))
            }
            None => {
                let out = temporary.insert(workspace.take_like(gradient.values, weights.shape().1)?);
                let target = Target { out: &mut *out, beta: 0.0, alpha: 1.0 };
                recipe.direction.advance(slots, gradient, *steps + 1, target, workspace)?;
                (out, None)
            }
        };
        let update = update.as_ref().map(|(mu, gradient)| (*mu, gradient));
        let subspace = &mut slots.subspace;
        let mapped = recipe.map.apply(direction, update, (subspace, *steps), rates.clip_factor, workspace)?;

        let scale = match recipe.scale {
            StepScale::MatchRms { rms, eps } => {
                let norm_squared = match &mapped {
                    Mapped::Unchanged => direction.dot(direction)?,
                    Mapped::Shaped(shaped) => shaped.norm_squared.clone(),
                    Mapped::Dense(out) => out.dot(out)?,
                };
                Some(StepScale::of_norm(rms, eps, weights.shape(), &norm_squared, workspace.backend())?)
            }
            _ => None,
        };
        let (rows, cols) = weights.shape();
        let alpha = match &scale {
            Some(scale) => Coefficient::device(-rates.lr, scale),
            None => Coefficient::from(-rates.lr * recipe.scale.of_shape(rows, cols).unwrap_or(1.0)),
        };
        let decay = Coefficient::from(1.0 - rates.lr * recipe.weight_decay);
        let mut info = StepInfo::default();
        match mapped {
            Mapped::Unchanged => weights.scale_add(decay, alpha, direction)?,
            Mapped::Dense(out) => {
                weights.scale_add(decay, alpha, &out)?;
                workspace.give(out);
            }
            Mapped::Shaped(shaped) => {
                info.one_sweep = Some(shaped.one_sweep);
                match &shaped.correction {
                    Some((left, right)) => weights.low_rank_add(decay, alpha, direction, left, right)?,
                    None => weights.scale_add(decay, alpha, direction)?,
                }
                shaped.release(workspace);
            }
        }
        if let Some(direction) = temporary {
            workspace.give(direction);
        }
        Ok(info)
    }

    /// The buffers that exist, with their slots; zeros before the first step.
    pub fn buffers(&self) -> impl Iterator<Item = (Slot, &B::Matrix)> {
        Slot::ALL.into_iter().filter_map(|slot| self.slots.get(slot).map(|m| (slot, m)))
    }
}
