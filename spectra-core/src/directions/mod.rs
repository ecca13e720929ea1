//! Directions: what an optimizer makes of the gradient before any spectral map.
//!
//! A direction is a [`DirectionRule`]: it keeps buffers of the parameter's shape in a [`State`] and writes
//! `out = beta out + alpha d`, so that with the identity map the weights are updated without a temporary. The formula of each lives in
//! the file of its name; [`Direction`] is the same list as data, for settings and files. One of your own is a type with four
//! methods; Lion, here once more:
//!
//! ```
//! use spectra_core::backend::{Backend, Gradient, Matrix, Result};
//! use spectra_core::directions::{DirectionRule, Target};
//! use spectra_core::linalg::Workspace;
//! use spectra_core::maps::SpectralMap;
//! use spectra_core::rules::Composed;
//! use spectra_core::scales::StepScale;
//! use spectra_core::state::{MOMENTUM, State};
//!
//! /// `d = sign(b1 M + (1 - b1) G)`, then `M = b2 M + (1 - b2) G` (Chen et al. 2023).
//! #[derive(Debug, Clone)]
//! struct Lion {
//!     betas: (f64, f64),
//! }
//!
//! impl<B: Backend> DirectionRule<B> for Lion {
//!     fn name(&self) -> &'static str {
//!         "lion"
//!     }
//!
//!     fn buffers(&self) -> &'static [&'static str] {
//!         &[MOMENTUM]
//!     }
//!
//!     fn advance(
//!         &self,
//!         state: &mut State<B::Matrix>,
//!         g: &Gradient<'_, B::Matrix>,
//!         _: u64,
//!         Target { out, beta, alpha }: Target<'_, B::Matrix>,
//!         w: &mut Workspace<B>,
//!     ) -> Result<()> {
//!         let ((b1, b2), [m]) = (self.betas, state.zeros([MOMENTUM], g.values, w.backend())?);
//!         let mut blend = w.take_like(m, m.shape().1)?;
//!         blend.copy_from(m)?;
//!         blend.scale_add(b1.into(), g.scale.times(1.0 - b1), g.values)?;
//!         out.sign_add(beta.into(), alpha.into(), &blend)?;
//!         w.give(blend);
//!         m.scale_add(b2.into(), g.scale.times(1.0 - b2), g.values)
//!     }
//! }
//!
//! let lion = Composed::new(Lion { betas: (0.9, 0.99) }, SpectralMap::Identity, StepScale::One);
//! # let _ = lion;
//! ```

mod adam;
mod ademamix;
mod lion;
mod mars;
mod momentum;
mod polar_first;

pub use adam::Adam;
pub use ademamix::AdEmaMix;
pub use lion::Lion;
pub use mars::Mars;
pub use momentum::{Momentum, Signum};
pub use polar_first::PolarFirst;

use crate::backend::{Backend, Element, Gradient, Matrix, Result, domain};
use crate::linalg::Workspace;
use crate::rules::entrywise_flops;
use crate::state::State;
use core::fmt;

/// `out = beta out + alpha d`: where a direction goes.
#[derive(Debug)]
pub struct Target<'a, M: Matrix> {
    /// The matrix written.
    pub out: &'a mut M,
    /// The factor of its old value; 0: not read.
    pub beta: f64,
    /// The factor of the direction.
    pub alpha: f64,
}

/// The direction of a step, computed from the gradient and the state.
pub trait DirectionRule<B: Backend>: fmt::Debug + Send + Sync {
    /// The name used in printed plans and saved states.
    fn name(&self) -> &'static str;

    /// The buffers it keeps, each of the parameter's shape and zeros at first.
    fn buffers(&self) -> &'static [&'static str];

    /// An error if a setting is outside its domain.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the setting's name.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// If the direction *is* the buffer [`MOMENTUM`](crate::state::MOMENTUM) that moves as `m = mu m + c G`: `(mu, c)`. A
    /// spectral map then works on that buffer itself and may fuse the update into its own pass.
    fn as_momentum(&self) -> Option<(f64, f64)> {
        None
    }

    /// Flops of a step for a parameter of this shape, to leading order, and of what takes it to the weights. Unless overridden those of
    /// an entrywise step, `10 mn`.
    fn flops(&self, shape: (usize, usize)) -> f64 {
        entrywise_flops(shape)
    }

    /// Whether each entry of it depends on that entry of gradients alone: then rows and columns can be on different ranks.
    fn is_entrywise(&self) -> bool {
        false
    }

    /// Whether it asks for the same operations whatever the numbers are, reads none, and leaves its buffers their handles: then it
    /// works on [stacks](crate::backend::Stacking).
    fn is_uniform(&self) -> bool {
        false
    }

    /// The largest magnitude of a gradient's entries: if none was ever larger, state and direction stay in the range of the
    /// element type. Unless overridden, half of that range: right for averages of the gradient.
    fn largest_gradient(&self) -> f64 {
        half_range::<B::Element>()
    }

    /// How many times larger than the largest norm of a gradient the norm of the direction can be; none where the direction
    /// does not grow with the gradient.
    fn growth(&self) -> Option<f64> {
        None
    }

    /// Advances the state by the gradient of step `t` (counted from 1) and adds the direction to the target.
    ///
    /// # Errors
    /// Those of the backend.
    fn advance(
        &self,
        state: &mut State<B::Matrix>,
        gradient: &Gradient<'_, B::Matrix>,
        t: u64,
        target: Target<'_, B::Matrix>,
        workspace: &mut Workspace<B>,
    ) -> Result<()>;
}

/// The directions of this library as data.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Direction {
    /// Polyak, Nesterov or averaged momentum.
    Momentum(Momentum),
    /// The sign of the momentum.
    Signum(Signum),
    /// Adam, bias-corrected.
    Adam(Adam),
    /// Adam with a second, slow momentum.
    AdEmaMix(AdEmaMix),
    /// Adam on a variance-reduced gradient.
    Mars(Mars),
    /// The sign of a blend of momentum and gradient.
    Lion(Lion),
    /// The momentum of the gradient's polar factor.
    PolarFirst(PolarFirst),
}

impl Direction {
    /// The direction's behaviour on a backend.
    pub fn rule<B: Backend>(&self) -> &dyn DirectionRule<B> {
        match self {
            Self::Momentum(direction) => direction,
            Self::Signum(direction) => direction,
            Self::Adam(direction) => direction,
            Self::AdEmaMix(direction) => direction,
            Self::Mars(direction) => direction,
            Self::Lion(direction) => direction,
            Self::PolarFirst(direction) => direction,
        }
    }
}

impl Direction {
    /// The factor by which its first moment forgets.
    pub(crate) fn memory(&self) -> f64 {
        match self {
            Self::Momentum(Momentum { mu, .. }) | Self::Signum(Signum { mu, .. }) => *mu,
            Self::PolarFirst(PolarFirst { mu, .. }) => *mu,
            Self::Adam(adam) | Self::AdEmaMix(AdEmaMix { adam, .. }) | Self::Mars(Mars { adam, .. }) => {
                adam.beta1
            }
            Self::Lion(lion) => lion.beta2,
        }
    }
}

impl<B: Backend> DirectionRule<B> for Direction {
    fn name(&self) -> &'static str {
        self.rule::<B>().name()
    }

    fn buffers(&self) -> &'static [&'static str] {
        self.rule::<B>().buffers()
    }

    fn validate(&self) -> Result<()> {
        self.rule::<B>().validate()
    }

    fn as_momentum(&self) -> Option<(f64, f64)> {
        self.rule::<B>().as_momentum()
    }

    fn flops(&self, shape: (usize, usize)) -> f64 {
        self.rule::<B>().flops(shape)
    }

    fn is_entrywise(&self) -> bool {
        self.rule::<B>().is_entrywise()
    }

    fn is_uniform(&self) -> bool {
        self.rule::<B>().is_uniform()
    }

    fn largest_gradient(&self) -> f64 {
        self.rule::<B>().largest_gradient()
    }

    fn growth(&self) -> Option<f64> {
        self.rule::<B>().growth()
    }

    fn advance(
        &self,
        state: &mut State<B::Matrix>,
        gradient: &Gradient<'_, B::Matrix>,
        t: u64,
        target: Target<'_, B::Matrix>,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        self.rule::<B>().advance(state, gradient, t, target, workspace)
    }
}

/// Half of the largest element.
fn half_range<E: Element>() -> f64 {
    domain::largest::<E>() / 2.0
}
