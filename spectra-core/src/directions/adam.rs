//! Adam with bias correction (Kingma and Ba 2015; Loshchilov and Hutter 2019).

use super::{DirectionRule, Target, half_range};
use crate::backend::{Backend, Element, Entrywise, Gradient, Result, domain};
use crate::linalg::Workspace;
use crate::state::{MOMENTUM, SECOND_MOMENT, State};

/// `M = b1 M + (1 - b1) G`, `V = b2 V + (1 - b2) G o G`, `d = (M / (1 - b1^t)) / (sqrt(V / (1 - b2^t)) + eps)`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Adam {
    /// b1 in [0, 1), below 1 also when rounded to the arithmetic type.
    pub beta1: f64,
    /// b2, likewise.
    pub beta2: f64,
    /// eps > 0 with a square that does not vanish in the arithmetic type: from 1.1e-19 in `f32`. Where `G o G` underflows, V
    /// is 0 and d = M / eps: a smaller eps would turn gradients of 1e-22 into large steps, and a zero one into 0 / 0.
    pub eps: f64,
}

impl Adam {
    /// 0.9, 0.999, 1e-8: PyTorch's.
    pub const PYTORCH: Self = Self { beta1: 0.9, beta2: 0.999, eps: 1e-8 };
}

impl Default for Adam {
    /// [`PYTORCH`](Self::PYTORCH).
    fn default() -> Self {
        Self::PYTORCH
    }
}

/// The bias corrections of step `t` folded into two numbers `(factor, eps)`:
/// `d = factor M / (sqrt(V) + eps)` with `factor = sqrt(1 - b2^t) / (1 - b1^t)`, `eps = eps sqrt(1 - b2^t)`.
pub(super) struct Corrected {
    pub(super) factor: f64,
    pub(super) eps: f64,
    /// `1 - b1^t`.
    pub(super) first: f64,
}

impl Adam {
    /// V holds an average of squares.
    pub(super) fn largest_gradient<E: Element>() -> f64 {
        libm::sqrt(half_range::<E>())
    }

    pub(super) fn check<E: Element>(&self) -> Result<()> {
        domain::memory::<E>("adam", "beta1", self.beta1)?;
        domain::memory::<E>("adam", "beta2", self.beta2)?;
        domain::square_normal::<E>("adam", "eps", self.eps)
    }

    pub(super) fn corrected(&self, t: u64) -> Corrected {
        let root = libm::sqrt(1.0 - libm::pow(self.beta2, t as f64));
        let first = 1.0 - libm::pow(self.beta1, t as f64);
        Corrected { factor: root / first, eps: self.eps * root, first }
    }
}

impl<B: Backend> DirectionRule<B> for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn buffers(&self) -> &'static [&'static str] {
        &[MOMENTUM, SECOND_MOMENT]
    }

    fn is_entrywise(&self) -> bool {
        true
    }

    fn is_uniform(&self) -> bool {
        true
    }

    fn validate(&self) -> Result<()> {
        self.check::<B::Element>()
    }

    fn largest_gradient(&self) -> f64 {
        Self::largest_gradient::<B::Element>()
    }

    fn advance(
        &self,
        state: &mut State<B::Matrix>,
        gradient: &Gradient<'_, B::Matrix>,
        t: u64,
        target: Target<'_, B::Matrix>,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let [first, second] = state.zeros([MOMENTUM, SECOND_MOMENT], gradient.values, workspace.backend())?;
        let Target { out, beta, alpha } = target;
        let Corrected { factor, eps, .. } = self.corrected(t);
        let rule = Entrywise::Adam { betas: (self.beta1, self.beta2), eps, slow: None };
        B::entrywise_add([out, first, second], (beta, alpha * factor), rule, gradient, workspace)
    }
}
