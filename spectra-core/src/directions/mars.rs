//! MARS-AdamW (Yuan et al. 2024): Adam on a variance-reduced gradient.

use super::adam::Corrected;
use super::slots::buffer;
use super::{Adam, Slots, Target, half_range};
use crate::backend::{Backend, Coefficient, Element, Entrywise, Gradient, Matrix, Result, domain};
use crate::linalg::{Workspace, divide_by_unit};

/// `C = G + gamma b1 / (1 - b1) (G - G_last)`, clipped to Frobenius norm 1, then Adam's direction of `C`.
/// `G_last` starts at zero ("approximate" MARS: the last step's gradient, not a second backward pass).
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Mars {
    /// The Adam that follows.
    pub adam: Adam,
    /// gamma >= 0, at most 4.2e9 in `f32`; the weight of the correction.
    pub gamma: f64,
}

impl Mars {
    /// b1 0.95, b2 0.99, gamma 0.025: the authors'.
    pub const PAPER: Self = Self { adam: Adam { beta1: 0.95, beta2: 0.99, eps: 1e-8 }, gamma: 0.025 };
}

impl Default for Mars {
    /// [`PAPER`](Self::PAPER).
    fn default() -> Self {
        Self::PAPER
    }
}

impl Mars {
    /// Of `G - G_last`.
    fn weight(&self) -> f64 {
        self.gamma * self.adam.beta1 / (1.0 - self.adam.beta1)
    }

    /// C before its clip: `(1 + weight) |G| + weight |G_last|`. After it no square is larger than 1.
    pub(super) fn largest_gradient<E: Element>(&self) -> f64 {
        half_range::<E>() / (1.0 + 2.0 * self.weight())
    }

    pub(super) fn validate<E: Element>(&self) -> Result<()> {
        self.adam.validate::<E>()?;
        domain::rate::<E>("mars", "gamma", self.gamma)
    }

    pub(super) fn advance<B: Backend>(
        &self,
        slots: &mut Slots<B::Matrix>,
        gradient: &Gradient<'_, B::Matrix>,
        t: u64,
        target: Target<'_, B::Matrix>,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let last = buffer(&mut slots.last_gradient, gradient.values, workspace.backend())?;
        let weight = self.weight();
        // C in the place of G_last, which is needed no more.
        last.scale_add((-weight).into(), gradient.scale.times(1.0 + weight), gradient.values)?;
        let norm = divide_by_unit(last, gradient.values, workspace.backend())?;
        let clip = norm.clip_factor(1.0, 0.0, workspace.backend())?;

        let first = buffer(&mut slots.momentum, gradient.values, workspace.backend())?;
        let second = buffer(&mut slots.second_moment, gradient.values, workspace.backend())?;
        let Target { out, beta, alpha } = target;
        let Corrected { factor, eps, .. } = self.adam.corrected(t);
        let rule = Entrywise::Adam { betas: (self.adam.beta1, self.adam.beta2), eps, slow: None };
        let clipped = Gradient::scaled(last, &clip);
        B::entrywise_add([out, first, second], (beta, alpha * factor), rule, &clipped, workspace)?;
        last.scale_add(Coefficient::ZERO, gradient.scale, gradient.values)
    }
}
