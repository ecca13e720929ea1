//! `X <- (1 - lr wd) X - lr scale map(direction(G))`, written once.

use super::{BatchItem, Batching, Dots, GradientLimits, Sharding, StepInfo, StepRates, UpdateRule};
use crate::backend::{Backend, Coefficient, Error, ErrorKind, Gradient, Matrix, Result, domain};
use crate::directions::{DirectionRule, Target};
use crate::linalg::Workspace;
use crate::maps::{MapItem, MapRule, Mapped, Moment};
use crate::scales::{ScaleRule, Update};
use crate::state::{BufferSpec, MOMENTUM, State};
use alloc::{format, string::String, vec::Vec};

/// A direction, a map and a scale of any type as one rule.
///
/// ```
/// use spectra_core::directions::Adam;
/// use spectra_core::maps::{Clip, SoftClip};
/// use spectra_core::rules::Composed;
/// use spectra_core::scales::StepScale;
///
/// let rule = Composed::new(Adam::PYTORCH, Clip::new(SoftClip::AUTO, 10.0), StepScale::AspectRatio).weight_decay(0.1);
/// # let _ = rule;
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Composed<D, M, S> {
    /// What is made of the gradient.
    pub direction: D,
    /// What is done to its singular values.
    pub map: M,
    /// The factor of the step.
    pub scale: S,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

impl<D, M, S> Composed<D, M, S> {
    /// The rule of these parts, without weight decay.
    pub fn new(direction: D, map: M, scale: S) -> Self {
        Self { direction, map, scale, weight_decay: 0.0 }
    }

    /// Sets the decoupled weight decay.
    #[must_use]
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    fn parts<B: Backend>(&self) -> Parts<'_, B>
    where
        D: DirectionRule<B>,
        M: MapRule<B>,
        S: ScaleRule<B>,
    {
        Parts { direction: &self.direction, map: &self.map, scale: &self.scale }
    }
}

/// The update of a momentum by a gradient with its factor; [`MomentumUpdate`](crate::maps::MomentumUpdate) borrows it.
type Owned<'a, B> = Option<(f64, Gradient<'a, <B as Backend>::Matrix>)>;

/// The parts of a composition.
pub(super) struct Parts<'a, B: Backend> {
    pub(super) direction: &'a dyn DirectionRule<B>,
    pub(super) map: &'a dyn MapRule<B>,
    pub(super) scale: &'a dyn ScaleRule<B>,
}

impl<B: Backend> Parts<'_, B> {
    pub(super) fn signature(&self) -> String {
        format!("{} + {}", self.direction.name(), self.map.signature())
    }

    pub(super) fn buffers(&self, shape: (usize, usize)) -> Vec<BufferSpec> {
        let moments = self.direction.buffers().iter().map(|name| BufferSpec::zeros(name, shape));
        moments.chain(self.map.buffers(shape)).collect()
    }

    pub(super) fn flops(&self, shape: (usize, usize)) -> f64 {
        self.direction.flops(shape) + self.map.flops(shape)
    }

    /// The map's, if direction and scale need no more: an entrywise direction, and a scale of the shape or of the norm that is summed in
    /// any case.
    pub(super) fn sharding(&self, shape: (usize, usize)) -> Option<Sharding> {
        let sharding = self.map.sharding(shape).filter(|_| self.direction.is_entrywise())?;
        let is_known = self.scale.of_shape(shape).is_some()
            || (sharding != Sharding::Entrywise && self.scale.is_of_norm());
        is_known.then_some(sharding)
    }

    pub(super) fn validate(&self, weight_decay: f64) -> Result<()> {
        self.direction.validate()?;
        self.map.validate()?;
        self.scale.validate()?;
        domain::rate::<B::Element>("recipe", "weight_decay", weight_decay)
    }

    pub(super) fn gradient_limits(&self, shape: (usize, usize), dots: Dots) -> GradientLimits {
        let entry = self.direction.largest_gradient();
        let norm = self.direction.growth().map_or(f64::INFINITY, |growth| {
            self.map.largest_norm(shape, dots.known).min(self.scale.largest_norm(dots.wide)) / growth
        });
        GradientLimits { entry, norm }
    }

    pub(super) fn step(
        &self,
        weights: &mut B::Matrix,
        gradient: &Gradient<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        rates: &StepRates,
        workspace: &mut Workspace<B>,
    ) -> Result<StepInfo<B::Scalar>> {
        if let (true, Some(scale)) = (self.map.is_identity(), self.scale.of_shape(weights.shape())) {
            // Straight to the weights: no temporary.
            let target = Target { out: weights, beta: rates.decay(), alpha: -rates.lr * scale };
            self.direction.advance(state, gradient, rates.step + 1, target, workspace)?;
            return Ok(StepInfo::default());
        }
        if let Some((mu, c)) = self.direction.as_momentum() {
            // The direction is the buffer itself, so that the map may fuse its update.
            let update = Gradient { scale: gradient.scale.times(c), ..*gradient };
            state.zeros([MOMENTUM], gradient.values, workspace.backend())?;
            return state.with(MOMENTUM, |momentum, state| {
                let missing = ErrorKind::State { reason: "the momentum does not exist" };
                let momentum = momentum.as_mut().ok_or_else(|| Error::new("step", missing))?;
                self.map_and_add(weights, momentum, Some((mu, &update)), state, rates, workspace)
            });
        }
        let mut direction = workspace.take_like(gradient.values, weights.shape().1)?;
        let target = Target { out: &mut direction, beta: 0.0, alpha: 1.0 };
        self.direction.advance(state, gradient, rates.step + 1, target, workspace)?;
        let info = self.map_and_add(weights, &mut direction, None, state, rates, workspace)?;
        workspace.give(direction);
        Ok(info)
    }

    /// What goes into the map.
    pub(super) fn direction(
        &self,
        out: &mut B::Matrix,
        gradient: &Gradient<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        rates: &StepRates,
        workspace: &mut Workspace<B>,
    ) -> Result<bool> {
        let target = Target { out, beta: 0.0, alpha: 1.0 };
        self.direction.advance(state, gradient, rates.step + 1, target, workspace)?;
        Ok(true)
    }

    /// How blocks gain by going together: messages for those that are distributed over ranks, calls for those that stack.
    pub(super) fn batching(&self) -> Batching {
        let is_uniform = || self.direction.is_uniform() && self.map.is_uniform() && self.scale.is_uniform();
        match B::DISTRIBUTES {
            true if self.map.gains_together() => Batching::AnyShape,
            false if is_uniform() => Batching::Stacked,
            _ => Batching::Alone,
        }
    }

    /// [`step`](Self::step) of several blocks whose directions are mapped together.
    pub(super) fn step_batch(
        &self,
        blocks: &mut [BatchItem<'_, B>],
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let momentum = self.direction.as_momentum();
        let mut directions = Vec::with_capacity(blocks.len());
        let mut updates = Vec::with_capacity(blocks.len());
        for BatchItem { weights, gradient, state, rates, .. } in blocks.iter_mut() {
            match momentum {
                Some((mu, c)) => {
                    state.zeros([MOMENTUM], gradient.values, workspace.backend())?;
                    directions.extend(state.take(MOMENTUM));
                    updates.push(Some((mu, Gradient { scale: gradient.scale.times(c), ..*gradient })));
                }
                None => {
                    let mut direction = workspace.take_like(gradient.values, weights.shape().1)?;
                    let target = Target { out: &mut direction, beta: 0.0, alpha: 1.0 };
                    self.direction.advance(state, gradient, rates.step + 1, target, workspace)?;
                    directions.push(direction);
                    updates.push(None);
                }
            }
        }
        let done = self.map_and_add_all(blocks, &mut directions, &updates, workspace);
        for (block, direction) in blocks.iter_mut().zip(directions) {
            match momentum {
                Some(_) => drop(block.state.put(MOMENTUM, direction)),
                None => workspace.give(direction),
            }
        }
        done
    }

    fn map_and_add_all(
        &self,
        blocks: &mut [BatchItem<'_, B>],
        directions: &mut [B::Matrix],
        updates: &[Owned<'_, B>],
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let given = blocks.iter_mut().zip(directions.iter_mut()).zip(updates);
        let mut items: Vec<_> = given
            .map(|((block, direction), update)| MapItem {
                direction,
                update: update.as_ref().map(|(mu, gradient)| (*mu, gradient)),
                state: &mut *block.state,
                moment: Moment { clip_factor: block.rates.clip_factor, step: block.rates.step },
                mapped: None,
            })
            .collect();
        self.map.apply_all(&mut items, workspace)?;
        let mapped: Vec<_> = items.into_iter().map(|item| (item.moment, item.mapped)).collect();
        for ((block, direction), (moment, mapped)) in blocks.iter_mut().zip(directions).zip(mapped) {
            let left_out = ErrorKind::State { reason: "the map has left out a direction" };
            let mapped = mapped.ok_or_else(|| Error::new("step_batch", left_out))?;
            let step = (block.rates.decay(), -block.rates.lr);
            let info = add_mapped(self.scale, block.weights, direction, mapped, step, workspace)?;
            block.info = Some(StepInfo { spectral_norm: self.map.largest_singular_value(&moment), ..info });
        }
        Ok(())
    }

    /// `X <- (1 - lr wd) X - lr scale map(D)`, after `D = mu D + G` if `update` is given.
    fn map_and_add(
        &self,
        weights: &mut B::Matrix,
        direction: &mut B::Matrix,
        update: Option<(f64, &Gradient<'_, B::Matrix>)>,
        state: &mut State<B::Matrix>,
        rates: &StepRates,
        workspace: &mut Workspace<B>,
    ) -> Result<StepInfo<B::Scalar>> {
        let moment = Moment { clip_factor: rates.clip_factor, step: rates.step };
        let mapped = self.map.apply(direction, update, state, &moment, workspace)?;
        let step = (rates.decay(), -rates.lr);
        let info = add_mapped(self.scale, weights, direction, mapped, step, workspace)?;
        Ok(StepInfo { spectral_norm: self.map.largest_singular_value(&moment), ..info })
    }
}

/// `X <- decay X + step scale O`, where `O` is what a map made of `direction`.
pub(super) fn add_mapped<B: Backend>(
    scale: &dyn ScaleRule<B>,
    weights: &mut B::Matrix,
    direction: &B::Matrix,
    mapped: Mapped<B>,
    (decay, step): (f64, f64),
    workspace: &mut Workspace<B>,
) -> Result<StepInfo<B::Scalar>> {
    let shape = weights.shape();
    let (of_shape, measured) = match scale.of_shape(shape) {
        Some(scale) => (scale, None),
        None => {
            let update = Update { direction, mapped: &mapped, shape };
            (1.0, Some(scale.of_update(&update, workspace)?))
        }
    };
    let alpha = Coefficient { factor: step * of_shape, scalar: measured.as_ref() };
    let mut info = StepInfo::default();
    match mapped {
        Mapped::Unchanged => weights.scale_add(decay.into(), alpha, direction)?,
        Mapped::Dense(out) => {
            weights.scale_add(decay.into(), alpha, &out)?;
            workspace.give(out);
        }
        Mapped::Shaped(shaped) => {
            (info.one_sweep, info.energy) = (shaped.one_sweep, shaped.energy.clone());
            shaped.add_to(weights, decay.into(), alpha, direction)?;
            shaped.release(workspace);
        }
    }
    Ok(info)
}

impl<B: Backend, D: DirectionRule<B>, M: MapRule<B>, S: ScaleRule<B>> UpdateRule<B> for Composed<D, M, S> {
    fn signature(&self) -> String {
        self.parts().signature()
    }

    fn buffers(&self, shape: (usize, usize)) -> Vec<BufferSpec> {
        self.parts().buffers(shape)
    }

    fn flops(&self, shape: (usize, usize)) -> f64 {
        self.parts().flops(shape)
    }

    fn sharding(&self, shape: (usize, usize)) -> Option<Sharding> {
        self.parts().sharding(shape)
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn validate(&self) -> Result<()> {
        self.parts().validate(self.weight_decay)
    }

    fn check_clip_factor(&self, factor: f64) -> Result<()> {
        self.map.check_clip_factor(factor)
    }

    fn gradient_limits(&self, shape: (usize, usize), dots: Dots) -> GradientLimits {
        self.parts().gradient_limits(shape, dots)
    }

    fn resize(&self, wanted: &BufferSpec, saved: &B::Matrix, backend: &B) -> Result<Option<B::Matrix>> {
        MapRule::<B>::resize(&self.map, wanted, saved, backend)
    }

    fn direction(
        &self,
        out: &mut B::Matrix,
        gradient: &Gradient<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        rates: &StepRates,
        workspace: &mut Workspace<B>,
    ) -> Result<bool> {
        self.parts().direction(out, gradient, state, rates, workspace)
    }

    fn reads_weights(&self) -> bool {
        false
    }

    fn step(
        &self,
        weights: &mut B::Matrix,
        gradient: &Gradient<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        rates: &StepRates,
        workspace: &mut Workspace<B>,
    ) -> Result<StepInfo<B::Scalar>> {
        self.parts().step(weights, gradient, state, rates, workspace)
    }

    fn batching(&self) -> Batching {
        self.parts().batching()
    }

    fn step_batch(&self, blocks: &mut [BatchItem<'_, B>], workspace: &mut Workspace<B>) -> Result<()> {
        self.parts().step_batch(blocks, workspace)
    }
}
