//! A recipe: direction, spectral map, step scale. An optimizer of the family is one value of this type.

use super::composed::Parts;
use super::method::Settings;
use super::{
    BatchItem, Batching, Dots, GradientLimits, MomentumFormat, Sharding, StepInfo, StepRates, UpdateRule,
};
use crate::backend::{Backend, Element, Gradient, Result};
use crate::dense::Dense;
use crate::directions::Direction;
use crate::linalg::Workspace;
use crate::maps::{MapRule, SpectralMap};
use crate::scales::StepScale;
use crate::state::{BufferSpec, State};
use alloc::{string::String, vec::Vec};

/// `X <- (1 - lr wd) X - lr scale map(direction(G))`.
///
/// ```
/// use spectra_core::directions::{Direction, Momentum};
/// use spectra_core::maps::{SpectralMap, TailShrink};
/// use spectra_core::rules::{MomentumFormat, Recipe};
/// use spectra_core::scales::StepScale;
///
/// let spectra = Recipe {
///     direction: Direction::Momentum(Momentum::polyak(0.95)),
///     map: SpectralMap::TailShrink(TailShrink::default()),
///     scale: StepScale::RMS,
///     weight_decay: 0.0,
///     momentum_format: MomentumFormat::Full,
/// };
/// assert_eq!(spectra, Recipe::preset("spectra")?);
/// // State of one 4096 x 14336 matrix: mn + nk numbers, k = round(0.015 * 4096) = 61.
/// assert_eq!(spectra.state_numbers(4096, 14336), 4096 * 14336 + 14336 * 61);
/// # Ok::<(), spectra_core::backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Recipe {
    /// What is made of the gradient.
    pub direction: Direction,
    /// What is done to its singular values.
    pub map: SpectralMap,
    /// The factor of the step.
    pub scale: StepScale,
    /// Decoupled weight decay `wd >= 0`, multiplied by the learning rate; `lr wd <= 1`, because beyond the weights would
    /// change their sign at every step. In `f32` at most 4.2e9.
    pub weight_decay: f64,
    /// The numbers in which the direction's momentum is kept.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "MomentumFormat::is_full"))]
    pub momentum_format: MomentumFormat,
}

impl Recipe {
    /// The recipe of these parts, with a momentum in the arithmetic type.
    pub const fn new(direction: Direction, map: SpectralMap, scale: StepScale, weight_decay: f64) -> Self {
        Self { direction, map, scale, weight_decay, momentum_format: MomentumFormat::Full }
    }

    /// The same recipe with another decoupled weight decay.
    #[must_use]
    pub fn with_weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    /// The same recipe with another spectral map.
    #[must_use]
    pub fn with_map(mut self, map: SpectralMap) -> Self {
        self.map = map;
        self
    }

    /// How many numbers of state an m x n parameter costs; the largest `usize` if there are more.
    pub fn state_numbers(&self, rows: usize, cols: usize) -> usize {
        UpdateRule::<Dense<f32>>::state_numbers(self, (rows, cols))
    }

    /// What a saved state must agree on: see [`UpdateRule::signature`].
    pub fn signature(&self) -> String {
        let averaged = matches!(self.direction, Direction::Momentum(momentum) if momentum.averaged);
        let averaged = if averaged { "averaged " } else { "" };
        alloc::format!("{averaged}{}", self.parts::<Dense<f32>>().signature())
    }

    /// An error if a setting is outside its domain for arithmetic in `E`.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the setting's name.
    pub fn validate<E: Element>(&self) -> Result<()> {
        UpdateRule::<Dense<E>>::validate(self)
    }

    fn parts<B: Backend>(&self) -> Parts<'_, B> {
        Parts { direction: self.direction.rule(), map: &self.map, scale: &self.scale }
    }
}

impl Settings for Recipe {
    fn weight_decay_mut(&mut self) -> Option<&mut f64> {
        Some(&mut self.weight_decay)
    }

    fn recipe_mut(&mut self) -> Option<&mut Recipe> {
        Some(self)
    }
}

impl<B: Backend> UpdateRule<B> for Recipe {
    fn signature(&self) -> String {
        Recipe::signature(self)
    }

    /// In version 1 averaged momentum, which is smaller by the factor 1 - mu, had the name of the other.
    fn signature_in(&self, version: u32) -> String {
        if version < 2 { self.parts::<B>().signature() } else { Recipe::signature(self) }
    }

    fn buffers(&self, shape: (usize, usize)) -> Vec<BufferSpec> {
        self.momentum_format.of(self.parts::<B>().buffers(shape))
    }

    fn flops(&self, shape: (usize, usize)) -> f64 {
        self.parts::<B>().flops(shape)
    }

    fn sharding(&self, shape: (usize, usize)) -> Option<Sharding> {
        self.parts::<B>().sharding(shape)
    }

    fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    fn validate(&self) -> Result<()> {
        self.parts::<B>().validate(self.weight_decay)?;
        self.momentum_format.validate(self.direction.memory())
    }

    fn check_clip_factor(&self, factor: f64) -> Result<()> {
        MapRule::<B>::check_clip_factor(&self.map, factor)
    }

    fn gradient_limits(&self, shape: (usize, usize), dots: Dots) -> GradientLimits {
        self.momentum_format.limit(self.parts::<B>().gradient_limits(shape, dots))
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
        self.parts::<B>().direction(out, gradient, state, rates, workspace)
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
        self.parts::<B>().step(weights, gradient, state, rates, workspace)
    }

    fn batching(&self) -> Batching {
        self.parts::<B>().batching()
    }

    fn step_batch(&self, blocks: &mut [BatchItem<'_, B>], workspace: &mut Workspace<B>) -> Result<()> {
        self.parts::<B>().step_batch(blocks, workspace)
    }
}
