//! Steps on a sphere in place of weight decay (2606.16899).

use super::forward::forward;
use super::method::Settings;
use super::update::negative_update;
use super::{Batching, Dots, GradientLimits, Recipe, StepInfo, StepRates, UpdateRule};
use crate::backend::{Backend, Coefficient, Error, Gradient, Matrix, Result, Scalar, ScalarOp, domain};
use crate::linalg::{Workspace, tiny};
use crate::state::{BufferSpec, RADIUS, State};
use alloc::{format, string::String, vec::Vec};

/// `X <- R N(X - lr R N(U))` with `N(Y) = Y / ||Y||_F`, `U` the update of `rule`, whose scale cancels, and `R = ||X_0||_F`, the norm
/// of the weights before the first step, which they keep. **No weight decay**, neither the rule's nor a group's.
///
/// Hyperball (2606.16899); NVIDIA's program has one [`radius`](Self::radius) for all matrices. For matrices: vectors and embeddings
/// are better left to the elementwise rule. `rule` must be one whose update does not depend on the weights. State: that of the rule and the
/// number R, unless it is given; one temporary. An update of zero leaves the weights where they are.
///
/// # Errors
/// In the first step, with nothing of this matrix changed (those before it in the model have been stepped, and the optimizer refuses until it is
/// restored): weights of zero, or, with a radius given, of a norm that differs from it by more than
/// 1e-5 of it. That step **waits** for the device.
///
/// ```
/// use spectra_core::rules::{Hyperball, Recipe};
///
/// let rule = Hyperball::new(Recipe::preset("muon")?);
/// # let _ = rule;
/// # Ok::<(), spectra_core::backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Hyperball<R> {
    /// Whose updates are taken.
    pub rule: R,
    /// The radius R of every matrix; `None`: the norm of its first weights.
    pub radius: Option<f64>,
}

impl<R> Hyperball<R> {
    /// The updates of `rule` on the sphere on which the weights begin.
    pub const fn new(rule: R) -> Self {
        Self { rule, radius: None }
    }

    /// On the sphere of this radius, on which the weights have to begin.
    #[must_use]
    pub fn radius(self, radius: f64) -> Self {
        Self { radius: Some(radius), ..self }
    }

    /// R as it is found or checked in the first step.
    fn first_radius<B: Backend>(&self, weights: &B::Matrix) -> Result<f64> {
        let norm = weights.dot(weights)?.sqrt()?.read()?;
        let on_sphere = self.radius.is_none_or(|radius| (norm - radius).abs() <= 1e-5 * radius);
        if norm > 0.0 && norm.is_finite() && on_sphere {
            return Ok(norm);
        }
        let requirement = "positive, finite, and within 1e-5 of the radius if one is given, for weights that stay on their sphere";
        Err(Error::argument("hyperball", "norm of the first weights", norm, requirement))
    }
}

impl Settings for Hyperball<Recipe> {
    fn weight_decay_mut(&mut self) -> Option<&mut f64> {
        None
    }

    fn recipe_mut(&mut self) -> Option<&mut Recipe> {
        Some(&mut self.rule)
    }
}

impl<B: Backend, R: UpdateRule<B>> UpdateRule<B> for Hyperball<R> {
    forward!(check_clip_factor, gradient_limits, resize, direction);

    fn signature(&self) -> String {
        format!("{} on a sphere", self.rule.signature())
    }

    fn buffers(&self, shape: (usize, usize)) -> Vec<BufferSpec> {
        let mut buffers = self.rule.buffers(shape);
        if self.radius.is_none() {
            buffers.push(BufferSpec::made_by_rule(RADIUS, (1, 1)));
        }
        buffers
    }

    fn flops(&self, shape: (usize, usize)) -> f64 {
        self.rule.flops(shape) + 8.0 * shape.0 as f64 * shape.1 as f64
    }

    /// With a given radius the first step, too, has all its buffers, and reads.
    fn batching(&self) -> Batching {
        if self.radius.is_none() { self.rule.batching().around() } else { Batching::Alone }
    }

    fn validate(&self) -> Result<()> {
        self.rule.validate()?;
        self.radius
            .map_or(Ok(()), |radius| domain::square_normal::<B::Element>("hyperball", "radius", radius))
    }

    fn step(
        &self,
        weights: &mut B::Matrix,
        gradient: &Gradient<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        rates: &StepRates,
        workspace: &mut Workspace<B>,
    ) -> Result<StepInfo<B::Scalar>> {
        let first = if rates.step == 0 { Some(self.first_radius::<B>(weights)?) } else { None };
        let (mut negative, info) = negative_update(&self.rule, weights, gradient, state, rates, workspace)?;
        let radius = match (self.radius, first) {
            (Some(radius), _) => workspace.backend().scalar(radius)?,
            (None, Some(norm)) => {
                let one = workspace.identity(1)?;
                let mut kept = workspace.backend().zeros(1, 1, None)?;
                kept.scale_add(Coefficient::ZERO, norm.into(), &one)?;
                workspace.give_identity(one);
                let radius = kept.max_abs()?;
                // After what the rule has made, as the buffers are listed.
                state.put(RADIUS, kept);
                radius
            }
            (None, None) => state.named(RADIUS)?.max_abs()?,
        };
        let backend = workspace.backend();
        let combine = <B::Scalar as Scalar>::combine;
        let (none, least) = (Coefficient::ZERO, backend.scalar(tiny::<B::Element>())?);
        // By its largest entry first: updates of 1e30 and 1e-30 have a norm, too. It is at least 1 then, or 0.
        let inverse = combine(
            ScalarOp::Div,
            &backend.scalar(1.0)?,
            &combine(ScalarOp::Max, &negative.max_abs()?, &least)?,
        )?;
        negative.scale_add(Coefficient::device(1.0, &inverse), none, weights)?;
        let norm = combine(ScalarOp::Max, &negative.dot(&negative)?.sqrt()?, &backend.scalar(0.5)?)?;
        let length = combine(ScalarOp::Div, &radius, &norm)?;
        weights.scale_add(Coefficient::ONE, Coefficient::device(rates.lr, &length), &negative)?;
        // A step onto 0 itself stays there.
        let norm = combine(ScalarOp::Max, &weights.dot(weights)?.sqrt()?, &least)?;
        let back = combine(ScalarOp::Div, &radius, &norm)?;
        weights.scale_add(Coefficient::device(1.0, &back), none, &negative)?;
        workspace.give(negative);
        Ok(StepInfo { spectral_norm: None, ..info })
    }
}
