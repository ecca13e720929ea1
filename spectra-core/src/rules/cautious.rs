//! Weight decay only where the step goes the same way (2510.12402).

use super::forward::forward;
use super::method::Settings;
use super::update::negative_update;
use super::{Dots, GradientLimits, Recipe, StepInfo, StepRates, UpdateRule};
use crate::backend::{Backend, Coefficient, Gradient, Matrix, Result};
use crate::linalg::Workspace;
use crate::state::{BufferSpec, State};
use alloc::{string::String, vec::Vec};

/// `X <- X - lr wd X o [X o U >= 0] - lr U`, entry by entry, with the weights before the step and `U`, the update of `rule`: what it
/// would subtract at learning rate 1 without decay. Where the product is exactly 0 the weight decays.
///
/// Cautious weight decay (2510.12402; `cautious_wd` of microsoft/dion). Not cautious *updates* (2411.16085), which mask the update.
/// `rule` must be one whose update does not depend on the weights. No state of its own; two temporaries of the weights' shape.
///
/// ```
/// use spectra_core::rules::{Cautious, Recipe};
///
/// let rule = Cautious::new(Recipe::preset("muon")?.with_weight_decay(0.1));
/// # let _ = rule;
/// # Ok::<(), spectra_core::backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Cautious<R> {
    /// Whose weights decay so; the rate is its own.
    pub rule: R,
}

impl<R> Cautious<R> {
    /// `rule` with its weight decay made cautious.
    pub const fn new(rule: R) -> Self {
        Self { rule }
    }
}

impl Settings for Cautious<Recipe> {
    fn weight_decay_mut(&mut self) -> Option<&mut f64> {
        self.rule.weight_decay_mut()
    }

    fn recipe_mut(&mut self) -> Option<&mut Recipe> {
        Some(&mut self.rule)
    }
}

impl<B: Backend, R: UpdateRule<B>> UpdateRule<B> for Cautious<R> {
    // Decay leaves no trace in the state: the signature is the rule's.
    forward!(
        signature,
        signature_in,
        buffers,
        weight_decay,
        validate,
        check_clip_factor,
        gradient_limits,
        resize,
        batching,
        direction,
        reads_weights
    );

    fn flops(&self, shape: (usize, usize)) -> f64 {
        self.rule.flops(shape) + 12.0 * shape.0 as f64 * shape.1 as f64
    }

    fn step(
        &self,
        weights: &mut B::Matrix,
        gradient: &Gradient<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        rates: &StepRates,
        workspace: &mut Workspace<B>,
    ) -> Result<StepInfo<B::Scalar>> {
        let decay = rates.lr * rates.weight_decay;
        if decay == 0.0 {
            return self.rule.step(weights, gradient, state, rates, workspace);
        }
        let (negative, info) = negative_update(&self.rule, weights, gradient, state, rates, workspace)?;
        let cols = weights.shape().1;
        let (mut a, mut b) = (workspace.take_like(weights, cols)?, workspace.take_like(weights, cols)?);
        let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
        // s = sign(sign(X) o -U), in which nothing underflows: 1 where the weight is spared. (s + s^2) / 2 is 1 there, else 0, exactly.
        a.sign_add(zero, one, weights)?;
        b.product_add(zero, one, &a, &negative)?;
        a.sign_add(zero, one, &b)?;
        b.product_add(zero, 0.5.into(), &a, &a)?;
        b.scale_add(one, 0.5.into(), &a)?;
        // The weights that decay, X - X o (s + s^2) / 2.
        a.product_add(zero, one, &b, weights)?;
        a.scale_add((-1.0).into(), one, weights)?;
        weights.scale_add(one, (-decay).into(), &a)?;
        weights.scale_add(one, rates.lr.into(), &negative)?;
        for temporary in [a, b, negative] {
            workspace.give(temporary);
        }
        Ok(info)
    }
}
