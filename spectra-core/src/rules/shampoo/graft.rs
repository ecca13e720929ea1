//! Shampoo's graft: the length of another optimizer's step.

use crate::backend::{Coefficient, Element, Matrix, Result, domain};
use crate::state::{SECOND_MOMENT, State};

/// Whose length the step takes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Graft {
    /// The filtered gradient's.
    Sgd,
    /// That over `sqrt(sum G o G) + eps`.
    Adagrad {
        /// Positive.
        eps: f64,
    },
    /// That over `sqrt(V) + eps`, `V = beta2 V + (1 - beta2) G o G`.
    RmsProp {
        /// In [0, 1).
        beta2: f64,
        /// Positive.
        eps: f64,
    },
    /// That over `sqrt(V / (1 - beta2^t)) + eps`.
    Adam {
        /// In [0, 1).
        beta2: f64,
        /// Positive.
        eps: f64,
    },
}

impl Graft {
    /// Whether it keeps one.
    pub(super) fn has_second_moment(self) -> bool {
        self != Self::Sgd
    }

    pub(super) fn validate<E: Element>(self) -> Result<()> {
        match self {
            Self::Sgd => Ok(()),
            Self::Adagrad { eps } => domain::square_normal::<E>("shampoo", "graft.eps", eps),
            Self::RmsProp { beta2, eps } | Self::Adam { beta2, eps } => {
                domain::memory::<E>("shampoo", "graft.beta2", beta2)?;
                domain::square_normal::<E>("shampoo", "graft.eps", eps)
            }
        }
    }

    /// `out = d`, from the filtered gradient F and the gradient G of step t.
    pub(super) fn direction<M: Matrix>(
        self,
        (filtered, g, t): (&M, &M, u64),
        state: &mut State<M>,
        out: &mut M,
    ) -> Result<()> {
        let (memory, weight, correction, eps) = match self {
            Self::Sgd => return out.copy_from(filtered),
            Self::Adagrad { eps } => (1.0, 1.0, 1.0, eps),
            Self::RmsProp { beta2, eps } => (beta2, 1.0 - beta2, 1.0, eps),
            Self::Adam { beta2, eps } => (beta2, 1.0 - beta2, 1.0 - libm::pow(beta2, t as f64), eps),
        };
        let [v] = state.all_mut([SECOND_MOMENT])?;
        v.product_add(memory.into(), weight.into(), g, g)?;
        // F / (sqrt(V / c) + eps) = sqrt(c) F / (sqrt(V) + sqrt(c) eps).
        let root = libm::sqrt(correction);
        out.quotient_add(Coefficient::ZERO, root.into(), filtered, v, root * eps)
    }
}
