//! AdEMAMix (Pagliardini et al. 2025): Adam with a second, slow momentum.

use super::adam::Corrected;
use super::{Adam, DirectionRule, Target};
use crate::backend::{Backend, Entrywise, Gradient, Result, domain, require};
use crate::linalg::Workspace;
use crate::state::{MOMENTUM, SECOND_MOMENT, SLOW_MOMENTUM, State};

/// Of the authors, in [`AdEmaMix::beta3_at`].
const HALF_LIFE_EPS: f64 = 1e-8;

/// With Adam's `M` and `V` and the slow `S = b3 S + (1 - b3) G` (no bias correction):
/// `d = (M / (1 - b1^t) + alpha S) / (sqrt(V / (1 - b2^t)) + eps)`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AdEmaMix {
    /// The fast part.
    pub adam: Adam,
    /// b3, the slow momentum's memory, in [0, 1), below 1 also when rounded to the arithmetic type.
    pub beta3: f64,
    /// alpha >= 0, at most 4.2e9 in `f32`; the slow momentum's weight.
    pub alpha: f64,
    /// Steps over which alpha grows linearly from 0; 0: none.
    pub alpha_warmup: u64,
    /// Steps over which b3 grows from b1, linearly in its half-life; 0: none. With it b1 and b3 are above 0 and below
    /// 1 - 1e-8.
    pub beta3_warmup: u64,
}

impl AdEmaMix {
    /// 2603.14315's tables: b1 0.9, b2 0.999, b3 0.999, alpha 8, no warm-up (give the run's length there).
    pub const PAPER: Self =
        Self { adam: Adam::PYTORCH, beta3: 0.999, alpha: 8.0, alpha_warmup: 0, beta3_warmup: 0 };
}

impl Default for AdEmaMix {
    /// [`PAPER`](Self::PAPER).
    fn default() -> Self {
        Self::PAPER
    }
}

impl AdEmaMix {
    /// `alpha` at step `t` (from 1): `alpha t / warmup` before `warmup`.
    fn alpha_at(&self, t: u64) -> f64 {
        let (t, end) = (t as f64, self.alpha_warmup as f64);
        if t < end { self.alpha * t / end } else { self.alpha }
    }

    /// `b3` at step `t`: half-lives `h(b) = ln 0.5 / ln(b + 1e-8) - 1` interpolated linearly, back by
    /// `0.5^(1 / (h + 1))`. The 1e-8, which only one direction has, is the authors'.
    fn beta3_at(&self, t: u64) -> f64 {
        let (t, end) = (t as f64, self.beta3_warmup as f64);
        if t >= end {
            return self.beta3;
        }
        let half_life = |beta: f64| libm::log(0.5) / libm::log(beta + HALF_LIFE_EPS) - 1.0;
        let share = t / end;
        let h = (1.0 - share) * half_life(self.adam.beta1) + share * half_life(self.beta3);
        libm::pow(0.5, 1.0 / (h + 1.0))
    }
}

impl<B: Backend> DirectionRule<B> for AdEmaMix {
    fn name(&self) -> &'static str {
        "ademamix"
    }

    fn buffers(&self) -> &'static [&'static str] {
        &[MOMENTUM, SECOND_MOMENT, SLOW_MOMENTUM]
    }

    fn is_entrywise(&self) -> bool {
        true
    }

    fn is_uniform(&self) -> bool {
        true
    }

    fn validate(&self) -> Result<()> {
        self.adam.check::<B::Element>()?;
        domain::memory::<B::Element>("ademamix", "beta3", self.beta3)?;
        domain::rate::<B::Element>("ademamix", "alpha", self.alpha)?;
        for (name, beta) in [("beta1", self.adam.beta1), ("beta3", self.beta3)] {
            // The half-lives take ln(b + 1e-8), which must be negative.
            let ok = self.beta3_warmup == 0 || (beta > 0.0 && beta + HALF_LIFE_EPS < 1.0);
            require(ok, "ademamix", name, beta, "above 0 and below 1 - 1e-8 when beta3 is warmed up")?;
        }
        Ok(())
    }

    fn largest_gradient(&self) -> f64 {
        Adam::largest_gradient::<B::Element>()
    }

    fn advance(
        &self,
        state: &mut State<B::Matrix>,
        gradient: &Gradient<'_, B::Matrix>,
        t: u64,
        target: Target<'_, B::Matrix>,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let names = [MOMENTUM, SECOND_MOMENT, SLOW_MOMENTUM];
        let [first, second, slow] = state.zeros(names, gradient.values, workspace.backend())?;
        let Target { out, beta, alpha } = target;
        let Corrected { factor, eps, first: correction } = self.adam.corrected(t);
        // d = factor (M + alpha (1 - b1^t) S) / (sqrt(V) + eps)
        let slow_part = (self.beta3_at(t), self.alpha_at(t) * correction);
        let rule = Entrywise::Adam { betas: (self.adam.beta1, self.adam.beta2), eps, slow: Some(slow_part) };
        B::entrywise_add([out, first, second, slow], (beta, alpha * factor), rule, gradient, workspace)
    }
}
