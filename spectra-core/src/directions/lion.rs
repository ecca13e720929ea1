//! Lion (Chen et al. 2023, 2302.06675).

use super::{DirectionRule, Target};
use crate::backend::{Backend, Entrywise, Gradient, Result, domain};
use crate::linalg::Workspace;
use crate::state::{MOMENTUM, State};

/// `d = sign(b1 M + (1 - b1) G)`, then `M = b2 M + (1 - b2) G`; `sign(0) = 0`, M starts at zero.
///
/// It differs from [`Signum`](super::Signum) in the second beta. One buffer.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Lion {
    /// b1 in [0, 1), below 1 also when rounded to the arithmetic type: how much of the momentum the sign sees.
    pub beta1: f64,
    /// b2, likewise: the memory of the momentum.
    pub beta2: f64,
}

impl Lion {
    /// 0.9, 0.99: the authors' (google/automl).
    pub const PAPER: Self = Self { beta1: 0.9, beta2: 0.99 };
}

impl<B: Backend> DirectionRule<B> for Lion {
    fn name(&self) -> &'static str {
        "lion"
    }

    fn buffers(&self) -> &'static [&'static str] {
        &[MOMENTUM]
    }

    fn is_entrywise(&self) -> bool {
        true
    }

    fn validate(&self) -> Result<()> {
        domain::memory::<B::Element>("lion", "beta1", self.beta1)?;
        domain::memory::<B::Element>("lion", "beta2", self.beta2)
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
        let rule = Entrywise::Lion { betas: (self.beta1, self.beta2) };
        B::entrywise_add([out, m], (beta, alpha), rule, gradient, workspace)
    }
}
