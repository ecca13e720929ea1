//! The presets: one row of the three-choice table each.

use super::{Recipe, StepScale};
use crate::backend::{Error, ErrorKind, Result};
use crate::directions::{Adam, Direction, Momentum};
use crate::maps::{SpectralMap, TailShrink};

/// Name, recipe, source of the defaults.
type Row = (&'static str, fn() -> Recipe, &'static str);

/// All presets.
const PRESETS: &[Row] = &[
    ("spectra", spectra, "2602.11185, Algorithms 1 and 2: ratio 0.015, T = 1, mu = 0.95, no weight decay"),
    ("adamw", Recipe::adamw, "Loshchilov and Hutter 2019; PyTorch's defaults"),
];

fn spectra() -> Recipe {
    Recipe {
        direction: Direction::Momentum(Momentum::polyak(0.95)),
        map: SpectralMap::TailShrink(TailShrink::default()),
        scale: StepScale::RMS,
        weight_decay: 0.0,
    }
}

impl Recipe {
    /// AdamW: also the default rule of everything that is not a hidden matrix.
    pub fn adamw() -> Self {
        Self {
            direction: Direction::Adam(Adam::default()),
            map: SpectralMap::Identity,
            scale: StepScale::One,
            weight_decay: 0.01,
        }
    }

    /// The preset of this name; see [`presets`](Self::presets).
    ///
    /// # Errors
    /// [`ErrorKind::Name`] for an unknown name.
    pub fn preset(name: &str) -> Result<Self> {
        let row = PRESETS.iter().find(|(preset, ..)| *preset == name);
        row.map(|(_, recipe, _)| recipe()).ok_or_else(|| {
            let reason = "is not a preset; Recipe::presets() lists them";
            Error::new("preset", ErrorKind::Name { name: name.into(), reason })
        })
    }

    /// `(name, recipe, source of its defaults)` of every preset.
    pub fn presets() -> impl Iterator<Item = (&'static str, Self, &'static str)> {
        PRESETS.iter().map(|(name, recipe, source)| (*name, recipe(), *source))
    }
}
