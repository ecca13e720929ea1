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

use crate::backend::{Backend, Gradient, Matrix, Result};
use crate::linalg::Workspace;

/// The spectral map of a recipe.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum SpectralMap {
    /// The direction as it is.
    Identity,
    /// Dominant singular values to the tail's scale.
    TailShrink(TailShrink),
}

/// A mapped direction, in the cheapest form that says what it is.
#[derive(Debug)]
pub enum Mapped<B: Backend> {
    /// The direction itself.
    Unchanged,
    /// The direction minus a low-rank matrix.
    Shaped(Shaped<B>),
}

impl SpectralMap {
    /// Maps `direction`, after `direction = mu direction + G` if `update` is given. `cache` and `step` (from 0):
    /// as in [`tail_shrink`].
    ///
    /// # Errors
    /// Those of the map.
    pub fn apply<B: Backend>(
        &self,
        direction: &mut B::Matrix,
        update: Option<(f64, &Gradient<'_, B::Matrix>)>,
        cache: &mut Option<B::Matrix>,
        step: u64,
        workspace: &mut Workspace<B>,
    ) -> Result<Mapped<B>> {
        if let Self::TailShrink(map) = self {
            return tail_shrink(map, direction, update, cache, step, workspace).map(Mapped::Shaped);
        }
        if let Some((mu, gradient)) = update {
            direction.scale_add(mu.into(), gradient.scale, gradient.values)?;
        }
        Ok(Mapped::Unchanged)
    }

    /// The name used in printed plans and saved states.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::TailShrink(_) => "tail shrink",
        }
    }

    /// Numbers of state beyond the direction's, for an m x n parameter.
    pub fn state_numbers(&self, rows: usize, cols: usize) -> usize {
        match self {
            Self::TailShrink(map) => {
                let k = map.rank(rows, cols);
                if k < rows.min(cols) { cols * k } else { 0 }
            }
            Self::Identity => 0,
        }
    }

    /// An error if a setting is outside its domain.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the setting's name.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Identity => Ok(()),
            Self::TailShrink(map) => map.validate(),
        }
    }
}
