//! The presets: one row of the three-choice table each.

use super::Recipe;
use crate::backend::{Error, ErrorKind, Result};
use crate::directions::{AdEmaMix, Adam, Direction, Mars, Momentum, Signum};
use crate::linalg::Polar;
use crate::maps::{HardClip, SoftClip, SpectralMap, TailShrink};
use crate::scales::StepScale;

/// Name, direction, spectral map, step scale, weight decay, source of the defaults.
type Row = (&'static str, Direction, SpectralMap, StepScale, f64, &'static str);

/// 2603.14315: c = 10, wd = 0.1, scale sqrt(max(1, m / n)).
const CLIP: SpectralMap = SpectralMap::SoftClip { clip: SoftClip::AUTO, threshold: 10.0 };
const MUON: SpectralMap = SpectralMap::Orthogonalize(Polar::MUON);
const SIGNUM: Signum = Signum { mu: 0.95, nesterov: true };

/// All presets.
#[rustfmt::skip]
const PRESETS: &[Row] = &[
    ("spectra", Direction::Momentum(Momentum::polyak(0.95)), SpectralMap::TailShrink(TailShrink::PAPER), StepScale::RMS, 0.0,
        "2602.11185, Algorithms 1 and 2: ratio 0.015, T = 1; mu = 0.95 is ours"),
    ("spectra-adamw", Direction::Adam(Adam::PYTORCH), CLIP, StepScale::AspectRatio, 0.1,
        "2603.14315, section 5 and appendix F.3"),
    ("spectra-signum", Direction::Signum(SIGNUM), CLIP, StepScale::AspectRatio, 0.1,
        "2603.14315, appendix F.3: mu 0.95, Nesterov"),
    ("spectra-ademamix", Direction::AdEmaMix(AdEmaMix::PAPER), CLIP, StepScale::AspectRatio, 0.1,
        "2603.14315, appendix F.3: b3 0.999, alpha 8"),
    ("spectra-mars", Direction::Mars(Mars::PAPER), CLIP, StepScale::AspectRatio, 0.1,
        "2603.14315's wrapper around MARS-AdamW, appendix F.3"),
    ("muon", Direction::Momentum(Momentum::muon(0.95)), MUON, StepScale::AspectRatio, 0.0,
        "KellerJordan/Muon: five quintic steps, Nesterov"),
    ("d-muon", Direction::Momentum(Momentum::muon(0.95)), MUON, StepScale::MaxDimension { factor: 0.2 }, 0.1,
        "Liu et al. 2025 (2502.16982): 0.2 sqrt(max(m, n))"),
    ("adamw-post-orth", Direction::Adam(Adam::PYTORCH), MUON, StepScale::AspectRatio, 0.1,
        "2603.14315, appendix F.3 (AdamW-Post-Orth)"),
    ("adamw", Direction::Adam(Adam::PYTORCH), SpectralMap::Identity, StepScale::One, 0.01,
        "Loshchilov and Hutter 2019; PyTorch's defaults"),
    ("signum", Direction::Signum(SIGNUM), SpectralMap::Identity, StepScale::One, 0.1,
        "Bernstein et al. 2018; 2603.14315, appendix F.3"),
    ("ademamix", Direction::AdEmaMix(AdEmaMix::PAPER), SpectralMap::Identity, StepScale::One, 0.1,
        "Pagliardini et al. 2025; 2603.14315, appendix F.3"),
    ("mars", Direction::Mars(Mars::PAPER), SpectralMap::Identity, StepScale::One, 0.1,
        "Yuan et al. 2024; 2603.14315, appendix F.3"),
    ("frank-wolfe", Direction::Momentum(Momentum::polyak(0.95)), SpectralMap::HardClip { clip: HardClip::AUTO, threshold: 10.0 },
        StepScale::One, 0.1, "2603.14315, Proposition 1: radius D = c / wd on the spectral norm of the weights"),
    ("sgd-m", Direction::Momentum(Momentum::polyak(0.9)), SpectralMap::Identity, StepScale::One, 0.0,
        "Polyak 1964; mu 0.9"),
];

fn recipe(&(_, direction, map, scale, weight_decay, _): &Row) -> Recipe {
    Recipe { direction, map, scale, weight_decay }
}

impl Recipe {
    /// AdamW: also the default rule of everything that is not a hidden matrix.
    pub fn adamw() -> Self {
        Self {
            direction: Direction::Adam(Adam::PYTORCH),
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
        PRESETS.iter().find(|row| row.0 == name).map(recipe).ok_or_else(|| {
            let reason = "is not a preset; Recipe::presets() lists them";
            Error::new("preset", ErrorKind::Name { name: name.into(), reason })
        })
    }

    /// `(name, recipe, source of its defaults)` of every preset.
    pub fn presets() -> impl Iterator<Item = (&'static str, Self, &'static str)> {
        PRESETS.iter().map(|row| (row.0, recipe(row), row.5))
    }
}
