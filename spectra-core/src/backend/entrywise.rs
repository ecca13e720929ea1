//! The rules that work entry by entry.

use super::{Error, Result, check_shape};

/// How the state of an entrywise rule advances by the gradient `G`, and its direction `d`;
/// see [`Backend::entrywise_add`](super::Backend::entrywise_add). Only numbers: a rule of this form needs no code of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Entrywise {
    /// State `M`. `M = mu M + c G`, then `N = M` or, with Nesterov's look-ahead, `N = mu M + c G`; `d = N` or `sign(N)`.
    Momentum {
        /// mu
        mu: f64,
        /// c
        weight: f64,
        /// Look one step ahead.
        nesterov: bool,
        /// Take the sign; that of both zeros is 0.
        sign: bool,
    },
    /// State `M`. `d = sign(b1 M + (1 - b1) G)` with the momentum before the step, then `M = b2 M + (1 - b2) G`; the sign of both zeros is 0.
    Lion {
        /// `(b1, b2)`
        betas: (f64, f64),
    },
    /// State `M`, `V` and, with a `slow` part, `S`. `M = b1 M + (1 - b1) G`, `V = b2 V + (1 - b2) G o G`,
    /// `S = b3 S + (1 - b3) G`; `d = M / (sqrt(V) + eps)`, or `d = (M + a S) / (sqrt(V) + eps)`.
    Adam {
        /// `(b1, b2)`
        betas: (f64, f64),
        /// eps
        eps: f64,
        /// `(b3, a)`
        slow: Option<(f64, f64)>,
    },
    /// State `M`, `V`, `L`. `C = (1 + w) G - w L`, clipped to a norm of 1, `C = min(1, 1 / ||C||_F) C`; `M`, `V` and `d` as Adam's of the gradient `C`,
    /// then `L = G`. L is not read if w is zero. Entry by entry but for the norm.
    Mars {
        /// `(b1, b2)`
        betas: (f64, f64),
        /// eps
        eps: f64,
        /// w
        weight: f64,
    },
}

impl Entrywise {
    /// The operation's name in errors.
    pub const NAME: &'static str = "entrywise_add";

    /// How many matrices it takes, the one that is added to included.
    pub fn matrices(&self) -> usize {
        match self {
            Self::Momentum { .. } | Self::Lion { .. } => 2,
            Self::Adam { slow: None, .. } => 3,
            Self::Adam { slow: Some(_), .. } | Self::Mars { .. } => 4,
        }
    }

    /// An error unless there are as many matrices as the rule takes, all of the gradient's shape.
    ///
    /// # Errors
    /// [`Error::shape`].
    pub fn check(&self, shapes: &[(usize, usize)], gradient: (usize, usize)) -> Result<()> {
        if shapes.len() != self.matrices() {
            let (wanted, found) = (self.matrices(), shapes.len());
            return Err(Error::shape("entrywise_add (number of matrices)", (wanted, 1), (found, 1)));
        }
        shapes.iter().try_for_each(|shape| check_shape(Self::NAME, gradient, *shape))
    }
}
