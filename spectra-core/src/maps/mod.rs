//! Spectral maps: what an optimizer does to the singular values of its direction.

mod hard_clip;
mod separate;
mod soft_clip;
mod tail_shrink;
mod threshold;

pub use hard_clip::{HardClip, HardClipMethod};
pub use soft_clip::{AlphaBound, SoftClip, SoftClipMethod, VectorRule};
pub use tail_shrink::{Shaped, TailShrink, tail_shrink};
pub use threshold::Threshold;

use crate::backend::{Backend, Element, Gradient, Matrix, Result, domain};
use crate::linalg::{Polar, Workspace};

/// The spectral map of a recipe.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum SpectralMap {
    /// The direction as it is.
    Identity,
    /// Dominant singular values to the tail's scale.
    TailShrink(TailShrink),
    /// `sigma -> sigma / sqrt(1 + sigma^2 / c^2)`; vectors by their norm.
    SoftClip {
        /// How it is computed.
        clip: SoftClip,
        /// c > 0, before and after the schedule's factor with a square that is in range: in `f32` from 1.1e-19 to 9.2e18.
        threshold: f64,
    },
    /// `sigma -> min(sigma, c)`.
    HardClip {
        /// How it is computed.
        clip: HardClip,
        /// c, likewise.
        threshold: f64,
    },
    /// `sigma -> 1`.
    Orthogonalize(Polar),
}

/// A mapped direction, in the cheapest form that says what it is.
#[derive(Debug)]
pub enum Mapped<B: Backend> {
    /// The direction itself.
    Unchanged,
    /// The direction minus a low-rank matrix.
    Shaped(Shaped<B>),
    /// A matrix of its own, a temporary of the workspace.
    Dense(B::Matrix),
}

impl SpectralMap {
    /// The name used in printed plans and saved states.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::TailShrink(_) => "tail shrink",
            Self::SoftClip { .. } => "soft clip",
            Self::HardClip { .. } => "hard clip",
            Self::Orthogonalize(_) => "orthogonalize",
        }
    }

    /// Numbers of state beyond the direction's, for an m x n parameter.
    pub fn state_numbers(&self, rows: usize, cols: usize) -> usize {
        match self {
            Self::TailShrink(map) => {
                let k = map.rank(rows, cols);
                if k < rows.min(cols) { cols * k } else { 0 }
            }
            _ => 0,
        }
    }

    /// The largest Frobenius norm of an m x n direction that it maps without leaving the range of `E`. Maps that scale by
    /// the largest entry first take any.
    pub fn largest_norm<E: Element>(&self, shape: (usize, usize), host_knows_norms: bool) -> f64 {
        match self {
            Self::TailShrink(map) => map.largest_norm::<E>(shape, host_knows_norms),
            Self::Identity | Self::SoftClip { .. } | Self::HardClip { .. } | Self::Orthogonalize(_) => {
                f64::INFINITY
            }
        }
    }

    /// The threshold c of a clip.
    pub fn threshold(&self) -> Option<f64> {
        match self {
            Self::SoftClip { threshold, .. } | Self::HardClip { threshold, .. } => Some(*threshold),
            Self::Identity | Self::TailShrink(_) | Self::Orthogonalize(_) => None,
        }
    }

    /// An error if a setting is outside its domain for arithmetic in `E`.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the setting's name.
    pub fn validate<E: Element>(&self) -> Result<()> {
        self.check_clip_factor::<E>(1.0)?;
        match self {
            Self::Identity => Ok(()),
            Self::TailShrink(map) => map.validate(),
            Self::SoftClip { clip, .. } => clip.validate(),
            Self::HardClip { clip, .. } => clip.validate(),
            Self::Orthogonalize(polar) => polar.validate(),
        }
    }

    /// An error unless this factor leaves a clip's threshold in its domain.
    pub(crate) fn check_clip_factor<E: Element>(&self, factor: f64) -> Result<()> {
        let check = |c| domain::square_normal::<E>(self.name(), "threshold", c * factor);
        self.threshold().map_or(Ok(()), check)
    }

    /// Maps `direction`, after `direction = mu direction + G` if `update` is given. `cache` and `step` (from 0):
    /// as in [`tail_shrink`]. `clip_factor` multiplies a clip's threshold.
    ///
    /// # Errors
    /// Those of the map.
    pub fn apply<B: Backend>(
        &self,
        direction: &mut B::Matrix,
        update: Option<(f64, &Gradient<'_, B::Matrix>)>,
        (cache, step): (&mut Option<B::Matrix>, u64),
        clip_factor: f64,
        workspace: &mut Workspace<B>,
    ) -> Result<Mapped<B>> {
        let _scope = workspace.scope();
        if let Self::TailShrink(map) = self {
            return tail_shrink(map, direction, update, cache, step, workspace).map(Mapped::Shaped);
        }
        if let Some((mu, gradient)) = update {
            direction.scale_add(mu.into(), gradient.scale, gradient.values)?;
        }
        if *self == Self::Identity {
            return Ok(Mapped::Unchanged);
        }
        let (rows, cols) = direction.shape();
        let mut out = workspace.take_like(direction, cols)?;
        match self {
            Self::SoftClip { clip, threshold } if rows.min(cols) == 1 => {
                clip.apply_vector(direction, threshold * clip_factor, &mut out, workspace)?;
            }
            Self::SoftClip { clip, threshold } => {
                clip.apply(direction, threshold * clip_factor, &mut out, workspace)?;
            }
            Self::HardClip { clip, threshold } => {
                clip.apply(direction, threshold * clip_factor, &mut out, workspace)?;
            }
            Self::Orthogonalize(polar) => {
                polar.apply(direction, &mut out, workspace)?;
            }
            Self::Identity | Self::TailShrink(_) => {}
        }
        Ok(Mapped::Dense(out))
    }
}
