//! Directions: what an optimizer makes of the gradient before any spectral map.
//!
//! Every direction is one variant of [`Direction`]; its formula lives in the file of its name. All of them keep
//! their state in [`Slots`] and write `out = beta out + alpha d`, so that with the identity map the weights
//! are updated without a temporary.

mod adam;
mod ademamix;
mod mars;
mod momentum;
mod slots;

pub use adam::Adam;
pub use ademamix::AdEmaMix;
pub use mars::Mars;
pub use momentum::{Momentum, Signum};
pub(crate) use slots::buffer;
pub use slots::{Slot, Slots};

use crate::backend::{Backend, Element, Gradient, Matrix, Result};
use crate::linalg::Workspace;

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
}

impl Direction {
    /// The name used in printed plans and saved states.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Momentum(_) => "momentum",
            Self::Signum(_) => "signum",
            Self::Adam(_) => "adam",
            Self::AdEmaMix(_) => "ademamix",
            Self::Mars(_) => "mars",
        }
    }

    /// The state buffers it keeps, each of the parameter's shape.
    pub fn slots(&self) -> &'static [Slot] {
        match self {
            Self::Momentum(_) | Self::Signum(_) => &[Slot::Momentum],
            Self::Adam(_) => &[Slot::Momentum, Slot::SecondMoment],
            Self::AdEmaMix(_) => &[Slot::Momentum, Slot::SecondMoment, Slot::SlowMomentum],
            Self::Mars(_) => &[Slot::Momentum, Slot::SecondMoment, Slot::LastGradient],
        }
    }

    /// An error if a setting is outside its domain for arithmetic in `E`.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the setting's name.
    pub fn validate<E: Element>(&self) -> Result<()> {
        match self {
            Self::Momentum(d) => d.validate::<E>(),
            Self::Signum(d) => d.validate::<E>(),
            Self::Adam(d) => d.validate::<E>(),
            Self::AdEmaMix(d) => d.validate::<E>(),
            Self::Mars(d) => d.validate::<E>(),
        }
    }

    /// If the direction *is* a state buffer `m` that moves as `m = mu m + c G`: `(mu, c)`. A spectral map then
    /// works on that buffer itself and may fuse the update into its own pass.
    pub fn as_momentum(&self) -> Option<(f64, f64)> {
        match self {
            Self::Momentum(d) => d.as_buffer(),
            _ => None,
        }
    }

    /// The largest magnitude of a gradient's entries: if none was ever larger, state and direction stay in the range of `E`.
    ///
    /// Momentum adds up to `c / (1 - mu)` gradients, Adam's V averages their squares (in `f32` no more than 1.3e19 each), MARS
    /// clips before it squares. Half of the range is left for rounding.
    pub fn largest_gradient<E: Element>(&self) -> f64 {
        match self {
            Self::Momentum(d) => d.largest_gradient::<E>(),
            Self::Signum(d) => d.largest_gradient::<E>(),
            Self::Adam(_) | Self::AdEmaMix(_) => Adam::largest_gradient::<E>(),
            Self::Mars(d) => d.largest_gradient::<E>(),
        }
    }

    /// How many times larger than the largest norm of a gradient the norm of the direction can be; none where the direction
    /// does not grow with the gradient.
    pub fn growth(&self) -> Option<f64> {
        match self {
            Self::Momentum(d) => Some(d.growth()),
            Self::Signum(_) | Self::Adam(_) | Self::AdEmaMix(_) | Self::Mars(_) => None,
        }
    }

    /// Advances the state by the gradient of step `t` (counted from 1) and adds the direction to the target.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn advance<B: Backend>(
        &self,
        slots: &mut Slots<B::Matrix>,
        gradient: &Gradient<'_, B::Matrix>,
        t: u64,
        target: Target<'_, B::Matrix>,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        match self {
            Self::Momentum(d) => d.advance(slots, gradient, target, workspace),
            Self::Signum(d) => d.advance(slots, gradient, target, workspace),
            Self::Adam(d) => d.advance(slots, gradient, t, target, workspace),
            Self::AdEmaMix(d) => d.advance(slots, gradient, t, target, workspace),
            Self::Mars(d) => d.advance(slots, gradient, t, target, workspace),
        }
    }
}

/// Half of the largest element.
fn half_range<E: Element>() -> f64 {
    E::max_value().widen() / 2.0
}
