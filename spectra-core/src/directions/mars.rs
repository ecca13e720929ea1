//! MARS-AdamW (Yuan et al. 2024): Adam on a variance-reduced gradient.

use super::adam::Corrected;
use super::{Adam, DirectionRule, Target, half_range};
use crate::backend::{Backend, Entrywise, Gradient, Result, domain};
use crate::linalg::Workspace;
use crate::state::{LAST_GRADIENT, MOMENTUM, SECOND_MOMENT, State};

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
}

impl<B: Backend> DirectionRule<B> for Mars {
    fn name(&self) -> &'static str {
        "mars"
    }

    fn buffers(&self) -> &'static [&'static str] {
        &[MOMENTUM, SECOND_MOMENT, LAST_GRADIENT]
    }

    fn is_uniform(&self) -> bool {
        true
    }

    fn validate(&self) -> Result<()> {
        self.adam.check::<B::Element>()?;
        domain::rate::<B::Element>("mars", "gamma", self.gamma)
    }

    /// C before its clip: `(1 + weight) |G| + weight |G_last|`. After it no square is larger than 1.
    fn largest_gradient(&self) -> f64 {
        half_range::<B::Element>() / (1.0 + 2.0 * self.weight())
    }

    fn advance(
        &self,
        state: &mut State<B::Matrix>,
        gradient: &Gradient<'_, B::Matrix>,
        t: u64,
        target: Target<'_, B::Matrix>,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let names = [MOMENTUM, SECOND_MOMENT, LAST_GRADIENT];
        let [first, second, last] = state.zeros(names, gradient.values, workspace.backend())?;
        let Target { out, beta, alpha } = target;
        let Corrected { factor, eps, .. } = self.adam.corrected(t);
        let betas = (self.adam.beta1, self.adam.beta2);
        let rule = Entrywise::Mars { betas, eps, weight: self.weight() };
        B::entrywise_add([out, first, second, last], (beta, alpha * factor), rule, gradient, workspace)
    }
}
