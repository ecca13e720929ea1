//! What an optimizer of one matrix is.

use super::{BatchItem, Batching, Dots, GradientLimits, Sharding};
use crate::backend::{Backend, Gradient, Result, Scalar, domain, require};
use crate::linalg::Workspace;
use crate::state::{BufferSpec, State};
use alloc::{string::String, vec::Vec};
use core::fmt;

/// `10 mn`: a moment or two, the direction, decay and the step.
pub(crate) fn entrywise_flops((m, n): (usize, usize)) -> f64 {
    10.0 * m as f64 * n as f64
}

/// The rates of one step, from settings and schedules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Learning rate, >= 0 and at most 4.2e9 in `f32`; times the weight decay at most 1.
    pub lr: f64,
    /// Decoupled weight decay `wd >= 0`; `None`: the rule's own.
    pub weight_decay: Option<f64>,
    /// Factor of the clip threshold, positive: `c_t = c clip_factor`, in the threshold's own domain.
    pub clip_factor: f64,
}

impl Rates {
    /// This learning rate, with the rule's own weight decay and threshold.
    pub fn new(lr: f64) -> Self {
        Self { lr, weight_decay: None, clip_factor: 1.0 }
    }

    /// An error if a rate is outside its domain for a step of `rule`.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the rate's name.
    pub fn validate<B: Backend>(&self, rule: &(impl UpdateRule<B> + ?Sized)) -> Result<()> {
        domain::rate::<B::Element>("learning rate", "lr", self.lr)?;
        if let Some(weight_decay) = self.weight_decay {
            domain::rate::<B::Element>("learning rate", "weight_decay", weight_decay)?;
        }
        let decay = self.lr * self.weight_decay.unwrap_or_else(|| rule.weight_decay());
        require(decay <= 1.0, "learning rate", "lr * weight_decay", decay, "at most 1")?;
        let (factor, requirement) = (self.clip_factor, "positive and finite");
        require(factor > 0.0 && factor.is_finite(), "clip threshold", "factor", factor, requirement)?;
        rule.check_clip_factor(factor)
    }

    /// The rates of step `step` (from 0) of `rule`.
    pub fn at<B: Backend>(&self, step: u64, rule: &(impl UpdateRule<B> + ?Sized)) -> StepRates {
        let Self { lr, weight_decay, clip_factor } = *self;
        StepRates { lr, weight_decay: weight_decay.unwrap_or_else(|| rule.weight_decay()), clip_factor, step }
    }
}

/// The rates that a rule steps at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepRates {
    /// Learning rate.
    pub lr: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Factor of a clip's threshold.
    pub clip_factor: f64,
    /// The matrix's step, from 0.
    pub step: u64,
}

impl StepRates {
    /// `1 - lr wd`: the factor of the weights.
    pub fn decay(&self) -> f64 {
        1.0 - self.lr * self.weight_decay
    }
}

/// What a step found out without waiting for the device.
#[derive(Debug, Clone, PartialEq)]
pub struct StepInfo<S> {
    /// Tail shrink: whether the subspace took one pass over the momentum. `Some(false)`: it fell back to the stable form,
    /// because the columns of `M V` were too ill-conditioned. Filled wherever the small factors are the host's, as in candle on
    /// every device; `None` on CUDA, where the device decides and the host is not told.
    pub one_sweep: Option<bool>,
    /// Tail shrink: how the energy of the momentum is divided.
    pub energy: Option<Energy<S>>,
    /// What the mapped direction's singular values do not exceed, where the [map](crate::maps::MapRule::largest_singular_value) knows
    /// it; before the step scale.
    pub spectral_norm: Option<f64>,
}

impl<S> Default for StepInfo<S> {
    fn default() -> Self {
        Self { one_sweep: None, energy: None, spectral_norm: None }
    }
}

/// The squared Frobenius norms of a matrix and of what a subspace leaves of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Energy<S> {
    /// `||M||^2`.
    pub total: S,
    /// `||M - U W^T||^2`; 0 where it was too small to be told from rounding errors.
    pub tail: S,
}

impl<S: Scalar> Energy<S> {
    /// The share that the subspace captures, `1 - tail / total`; 1 for a zero matrix. **Waits** for the device.
    ///
    /// # Errors
    /// Those of the device.
    pub fn captured(&self) -> Result<f64> {
        let (total, tail) = (self.total.read()?, self.tail.read()?);
        Ok(if total == 0.0 { 1.0 } else { 1.0 - tail / total })
    }
}

/// The optimizer of one m x n matrix (rows = output features): its settings, no state.
pub trait UpdateRule<B: Backend>: fmt::Debug + Send + Sync {
    /// What a saved state must agree on, and what the plan prints: `"momentum + tail shrink"`. It says what the buffers hold and
    /// what they are made into; rates, decay, betas, thresholds and the like may change.
    fn signature(&self) -> String;

    /// The [signature](Self::signature) that a state of this version has; the same unless it was once another.
    fn signature_in(&self, version: u32) -> String {
        let _ = version;
        self.signature()
    }

    /// The buffers of a parameter of this shape, in the order in which they are saved. All of them exist after the first step.
    fn buffers(&self, shape: (usize, usize)) -> Vec<BufferSpec>;

    /// How many numbers of state a parameter of this shape costs; the largest `usize` if there are more.
    fn state_numbers(&self, shape: (usize, usize)) -> usize {
        self.buffers(shape).iter().map(BufferSpec::numbers).fold(0, usize::saturating_add)
    }

    /// How many bytes that is, of `width` for a number in the arithmetic type.
    fn state_bytes(&self, shape: (usize, usize), width: usize) -> usize {
        self.buffers(shape).iter().map(|buffer| buffer.bytes(width)).fold(0, usize::saturating_add)
    }

    /// Flops of a step for a parameter of this shape, to leading order: what owners are
    /// [balanced](crate::distributed::Placement) by. Unless overridden those of an entrywise step, `10 mn`.
    fn flops(&self, shape: (usize, usize)) -> f64 {
        entrywise_flops(shape)
    }

    /// How it steps a parameter of this shape together with other ranks; `None`, as unless overridden: it takes the whole matrix and its
    /// whole gradient.
    fn sharding(&self, shape: (usize, usize)) -> Option<Sharding> {
        let _ = shape;
        None
    }

    /// Its own decoupled weight decay; groups may set another.
    fn weight_decay(&self) -> f64 {
        0.0
    }

    /// An error if a setting is outside its domain.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the setting's name.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// An error unless this factor leaves a clip's threshold in its domain.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    fn check_clip_factor(&self, factor: f64) -> Result<()> {
        let _ = factor;
        Ok(())
    }

    /// Up to which gradient a parameter of this shape keeps a finite state, if it was kept at every step. Unless overridden, such
    /// whose squares are in range.
    fn gradient_limits(&self, shape: (usize, usize), dots: Dots) -> GradientLimits {
        let _ = (shape, dots);
        let entry = libm::sqrt(domain::largest::<B::Element>() / 2.0);
        GradientLimits { entry, norm: f64::INFINITY }
    }

    /// A saved buffer of another shape as the one that is wanted, or `None` if nothing can be made of it.
    ///
    /// # Errors
    /// Those of the backend.
    fn resize(&self, wanted: &BufferSpec, saved: &B::Matrix, backend: &B) -> Result<Option<B::Matrix>> {
        let _ = (wanted, saved, backend);
        Ok(None)
    }

    /// One step: changes `weights` and `state` by the gradient (with its scale), at `rates`. The buffers that begin as zeros exist;
    /// shapes and rates have been checked. After the first step a CPU backend should allocate nothing, and a device backend
    /// not wait.
    ///
    /// # Errors
    /// Those of the backend; then weights and state may be between two steps.
    fn step(
        &self,
        weights: &mut B::Matrix,
        gradient: &Gradient<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        rates: &StepRates,
        workspace: &mut Workspace<B>,
    ) -> Result<StepInfo<B::Scalar>>;

    /// Writes to `out`, which is zero, the direction `D` that a step by this gradient would map, and tells whether the rule
    /// has such a part: for [observations](crate::optimizer::Observation), which hand it a copy of the state to advance. Unless overridden it
    /// has none.
    ///
    /// # Errors
    /// Those of the backend.
    fn direction(
        &self,
        out: &mut B::Matrix,
        gradient: &Gradient<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        rates: &StepRates,
        workspace: &mut Workspace<B>,
    ) -> Result<bool> {
        let _ = (out, gradient, state, rates, workspace);
        Ok(false)
    }

    /// Whether its update depends on the weights, their decay apart, or is not in proportion to the learning rate. Unless overridden
    /// yes, which is always right; no makes [observed](crate::optimizer::Observation::update) updates exact.
    fn reads_weights(&self) -> bool {
        true
    }

    /// Whether it gains by stepping blocks together, by products or messages that it packs. Then
    /// [`Optimizer::step`](crate::optimizer::Optimizer::step) and
    /// [`update_all`](crate::optimizer::Optimizer::update_all) gather them for [`step_batch`](Self::step_batch).
    fn batching(&self) -> Batching {
        Batching::Alone
    }

    /// [`step`](Self::step) of several blocks that go [together](Self::batching), which leaves in each what it found out. Unless overridden one after the
    /// other.
    ///
    /// # Errors
    /// As [`step`](Self::step), of the first block that has no [`info`](BatchItem::info) then.
    fn step_batch(&self, blocks: &mut [BatchItem<'_, B>], workspace: &mut Workspace<B>) -> Result<()> {
        for BatchItem { weights, gradient, state, rates, info, .. } in blocks {
            *info = Some(self.step(weights, gradient, state, rates, workspace)?);
        }
        Ok(())
    }
}
