//! A recipe: direction, spectral map, step scale. An optimizer of the family is one value of this type.

use super::{STATE_VERSION, StepScale};
use crate::backend::{Element, Result, domain};
use crate::directions::Direction;
use crate::maps::SpectralMap;
use alloc::string::String;

/// `X <- (1 - lr wd) X - lr scale map(direction(G))`.
///
/// ```
/// use spectra_core::directions::{Direction, Momentum};
/// use spectra_core::maps::{SpectralMap, TailShrink};
/// use spectra_core::optimizer::{Recipe, StepScale};
///
/// let spectra = Recipe {
///     direction: Direction::Momentum(Momentum::polyak(0.95)),
///     map: SpectralMap::TailShrink(TailShrink::default()),
///     scale: StepScale::RMS,
///     weight_decay: 0.0,
/// };
/// assert_eq!(spectra, Recipe::preset("spectra")?);
/// // State of one 4096 x 14336 matrix: mn + nk numbers, k = round(0.015 * 4096) = 61.
/// assert_eq!(spectra.state_numbers(4096, 14336), 4096 * 14336 + 14336 * 61);
/// # Ok::<(), spectra_core::backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Recipe {
    /// What is made of the gradient.
    pub direction: Direction,
    /// What is done to its singular values.
    pub map: SpectralMap,
    /// The factor of the step.
    pub scale: StepScale,
    /// Decoupled weight decay `wd >= 0`, multiplied by the learning rate; `lr wd <= 1`, because beyond the weights would
    /// change their sign at every step. In `f32` at most 4.2e9.
    pub weight_decay: f64,
}

impl Recipe {
    /// The same recipe with another decoupled weight decay.
    #[must_use]
    pub fn with_weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    /// The same recipe with another spectral map.
    #[must_use]
    pub fn with_map(mut self, map: SpectralMap) -> Self {
        self.map = map;
        self
    }

    /// How many numbers of state an m x n parameter costs; the largest `usize` if there are more.
    pub fn state_numbers(&self, rows: usize, cols: usize) -> usize {
        let moments = self.direction.slots().len().saturating_mul(rows).saturating_mul(cols);
        moments.saturating_add(self.map.state_numbers(rows, cols))
    }

    /// What a saved state must agree on: `"momentum + tail shrink"`. It says what the buffers hold and what they are made into; rates,
    /// decay, betas, thresholds and the like may change.
    pub fn signature(&self) -> String {
        self.signature_in(STATE_VERSION)
    }

    /// The [signature](Self::signature) that a state of this version has. In version 1 averaged momentum, which is smaller by the
    /// factor 1 - mu, had the name of the other.
    pub fn signature_in(&self, version: u32) -> String {
        let averaged =
            version >= 2 && matches!(self.direction, Direction::Momentum(momentum) if momentum.averaged);
        let averaged = if averaged { "averaged " } else { "" };
        alloc::format!("{averaged}{} + {}", self.direction.name(), self.map.name())
    }

    /// An error if a setting is outside its domain for arithmetic in `E`.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the setting's name.
    pub fn validate<E: Element>(&self) -> Result<()> {
        self.direction.validate::<E>()?;
        self.map.validate::<E>()?;
        self.scale.validate::<E>()?;
        domain::rate::<E>("recipe", "weight_decay", self.weight_decay)
    }
}
