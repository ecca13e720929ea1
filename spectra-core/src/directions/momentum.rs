//! Heavy-ball momentum, and its sign.

use super::{DirectionRule, Target, half_range};
use crate::backend::{Backend, Entrywise, Gradient, Result, domain};
use crate::linalg::Workspace;
use crate::state::{MOMENTUM, State};

/// `M = mu M + c G` with `c = 1` (Polyak; 2602.11185, Algorithm 1; 2603.14315) or `c = 1 - mu`
/// ([`averaged`](Self::averaged); Muon's programs). The direction is `M`, or with
/// [`nesterov`](Self::nesterov) `c G + mu M`. M starts at zero.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Momentum {
    /// mu in [0, 1), below 1 also when rounded to the arithmetic type.
    pub mu: f64,
    /// Look one step ahead.
    pub nesterov: bool,
    /// Weigh the gradient with `1 - mu`.
    pub averaged: bool,
}

impl Momentum {
    /// Polyak momentum.
    pub const fn polyak(mu: f64) -> Self {
        Self { mu, nesterov: false, averaged: false }
    }

    /// As Muon's reference program has it: averaged, with Nesterov's look-ahead.
    pub const fn muon(mu: f64) -> Self {
        Self { mu, nesterov: true, averaged: true }
    }

    fn weight(&self) -> f64 {
        if self.averaged { 1.0 - self.mu } else { 1.0 }
    }

    /// The largest momentum that gradients of size 1 build up: `c (1 + mu + mu^2 + ...)`. A look-ahead is no larger.
    fn largest(&self) -> f64 {
        self.weight() / (1.0 - self.mu)
    }
}

impl<B: Backend> DirectionRule<B> for Momentum {
    fn name(&self) -> &'static str {
        "momentum"
    }

    fn buffers(&self) -> &'static [&'static str] {
        &[MOMENTUM]
    }

    fn is_entrywise(&self) -> bool {
        true
    }

    fn is_uniform(&self) -> bool {
        true
    }

    fn validate(&self) -> Result<()> {
        domain::memory::<B::Element>("momentum", "mu", self.mu)
    }

    fn as_momentum(&self) -> Option<(f64, f64)> {
        (!self.nesterov).then(|| (self.mu, self.weight()))
    }

    fn largest_gradient(&self) -> f64 {
        half_range::<B::Element>() / self.largest()
    }

    fn growth(&self) -> Option<f64> {
        Some(self.largest())
    }

    fn advance(
        &self,
        state: &mut State<B::Matrix>,
        gradient: &Gradient<'_, B::Matrix>,
        _: u64,
        target: Target<'_, B::Matrix>,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let [m] = state.zeros([MOMENTUM], gradient.values, workspace.backend())?;
        let Target { out, beta, alpha } = target;
        let Self { mu, nesterov, .. } = *self;
        let rule = Entrywise::Momentum { mu, weight: self.weight(), nesterov, sign: false };
        B::entrywise_add([out, m], (beta, alpha), rule, gradient, workspace)
    }
}

/// `sign(M)` or, with Nesterov's look-ahead, `sign(G + mu M)`, of the Polyak momentum (Bernstein et al. 2018;
/// 2603.14315's base optimizer). `sign(0) = 0`.
///
/// The momentum starts at zero. The authors' program starts it at the decayed weights; who steps parameters one by one can have
/// that by putting them into the state of a [`ParameterState`](crate::optimizer::ParameterState) before the first
/// step. [`Optimizer`](crate::optimizer::Optimizer) and the optimizers of candle, burn and CUDA always start at zero.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Signum {
    /// mu, likewise.
    pub mu: f64,
    /// Look one step ahead.
    pub nesterov: bool,
}

impl<B: Backend> DirectionRule<B> for Signum {
    fn name(&self) -> &'static str {
        "signum"
    }

    fn buffers(&self) -> &'static [&'static str] {
        &[MOMENTUM]
    }

    fn is_entrywise(&self) -> bool {
        true
    }

    fn is_uniform(&self) -> bool {
        true
    }

    fn validate(&self) -> Result<()> {
        domain::memory::<B::Element>("signum", "mu", self.mu)
    }

    fn largest_gradient(&self) -> f64 {
        half_range::<B::Element>() / Momentum::polyak(self.mu).largest()
    }

    fn advance(
        &self,
        state: &mut State<B::Matrix>,
        gradient: &Gradient<'_, B::Matrix>,
        _: u64,
        target: Target<'_, B::Matrix>,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let [m] = state.zeros([MOMENTUM], gradient.values, workspace.backend())?;
        let Target { out, beta, alpha } = target;
        let Self { mu, nesterov } = *self;
        let rule = Entrywise::Momentum { mu, weight: 1.0, nesterov, sign: true };
        B::entrywise_add([out, m], (beta, alpha), rule, gradient, workspace)
    }
}
