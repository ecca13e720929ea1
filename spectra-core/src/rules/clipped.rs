//! Any rule with its update clipped: the post-processing of 2603.14315 (section 5).

use super::composed::add_mapped;
use super::forward::forward;
use super::update::negative_update;
use super::{Batching, Dots, GradientLimits, StepInfo, StepRates, UpdateRule};
use crate::backend::{Backend, Coefficient, Gradient, Matrix, Result};
use crate::linalg::Workspace;
use crate::maps::{MapRule, Moment};
use crate::scales::{ScaleRule, StepScale};
use crate::state::{BufferSpec, State};
use alloc::{format, string::String, vec::Vec};

/// `X <- (1 - lr wd) X - lr scale map(U)`, where `U` is the update of `rule`: what it would subtract at learning rate 1 without
/// decay.
///
/// `U` is what the rule makes of weights of zero, so no digit is lost, where the authors' program recovers it from the difference of
/// two weights. Hence `rule` must be one whose update does not depend on the weights: its own decay is switched off, and the
/// wrapper decays with the rule's rate.
///
/// ```
/// use spectra_core::maps::{Clip, SoftClip};
/// use spectra_core::rules::{Clipped, Recipe};
///
/// // AdamW's update, no singular value above 10: the preset `spectra-adamw` but for the scale.
/// let rule = Clipped::new(Recipe::preset("adamw")?, Clip::new(SoftClip::AUTO, 10.0));
/// # let _ = rule;
/// # Ok::<(), spectra_core::backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clipped<R, M> {
    /// Whose update is clipped.
    pub rule: R,
    /// The clip, or any other map.
    pub map: M,
    /// The factor of the step; the paper's program has [`StepScale::AspectRatio`], which is the default.
    pub scale: StepScale,
}

impl<R, M> Clipped<R, M> {
    /// `rule` with its update mapped by `map`.
    pub fn new(rule: R, map: M) -> Self {
        Self { rule, map, scale: StepScale::AspectRatio }
    }

    /// Sets the scale.
    #[must_use]
    pub fn scale(self, scale: StepScale) -> Self {
        Self { scale, ..self }
    }
}

impl<B: Backend, R: UpdateRule<B>, M: MapRule<B>> UpdateRule<B> for Clipped<R, M> {
    forward!(weight_decay, gradient_limits, reads_weights);

    fn signature(&self) -> String {
        format!("{} + {}", self.rule.signature(), self.map.signature())
    }

    fn buffers(&self, shape: (usize, usize)) -> Vec<BufferSpec> {
        let mut buffers = self.rule.buffers(shape);
        buffers.extend(self.map.buffers(shape));
        buffers
    }

    fn flops(&self, shape: (usize, usize)) -> f64 {
        self.rule.flops(shape) + self.map.flops(shape)
    }

    fn batching(&self) -> Batching {
        let is_uniform = self.map.is_uniform() && ScaleRule::<B>::is_uniform(&self.scale);
        if is_uniform { self.rule.batching().around() } else { Batching::Alone }
    }

    fn validate(&self) -> Result<()> {
        self.rule.validate()?;
        self.map.validate()?;
        ScaleRule::<B>::validate(&self.scale)
    }

    fn check_clip_factor(&self, factor: f64) -> Result<()> {
        self.map.check_clip_factor(factor)
    }

    fn resize(&self, wanted: &BufferSpec, saved: &B::Matrix, backend: &B) -> Result<Option<B::Matrix>> {
        match self.rule.resize(wanted, saved, backend)? {
            Some(matrix) => Ok(Some(matrix)),
            None => self.map.resize(wanted, saved, backend),
        }
    }

    fn direction(
        &self,
        out: &mut B::Matrix,
        gradient: &Gradient<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        rates: &StepRates,
        workspace: &mut Workspace<B>,
    ) -> Result<bool> {
        let (update, _) = negative_update(&self.rule, out, gradient, state, rates, workspace)?;
        out.scale_add(Coefficient::ZERO, (-1.0).into(), &update)?;
        workspace.give(update);
        Ok(true)
    }

    fn step(
        &self,
        weights: &mut B::Matrix,
        gradient: &Gradient<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        rates: &StepRates,
        workspace: &mut Workspace<B>,
    ) -> Result<StepInfo<B::Scalar>> {
        let (mut update, _) = negative_update(&self.rule, weights, gradient, state, rates, workspace)?;
        let moment = Moment { clip_factor: rates.clip_factor, step: rates.step };
        let mapped = self.map.apply(&mut update, None, state, &moment, workspace)?;
        let info = add_mapped(&self.scale, weights, &update, mapped, (rates.decay(), rates.lr), workspace)?;
        workspace.give(update);
        Ok(StepInfo { spectral_norm: self.map.largest_singular_value(&moment), ..info })
    }
}
