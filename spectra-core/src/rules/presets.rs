//! The presets: one row each.

use super::experiments::EXPERIMENTS;
use super::{Cautious, Dion, Dion2, DionRank, Hyperball, Method, Recipe, Shampoo, Soap, WholeRule};
use crate::backend::{Error, ErrorKind, Result};
use crate::directions::{AdEmaMix, Adam, Direction, Lion, Mars, Momentum, PolarFirst, Signum};
use crate::linalg::Polar;
use crate::maps::{HardClip, SecondMoment, SoftClip, SpectralMap, TailShrink};
use crate::scales::StepScale;

/// Name, method, source of the defaults.
pub(super) type Row = (&'static str, Method, &'static str);

/// Direction, spectral map, step scale, weight decay.
const fn recipe(direction: Direction, map: SpectralMap, scale: StepScale, weight_decay: f64) -> Method {
    Method::Recipe(Recipe::new(direction, map, scale, weight_decay))
}

pub(super) const fn cautious(rule: Recipe) -> Method {
    Method::Whole(WholeRule::Cautious(Cautious::new(rule)))
}

pub(super) const fn hyperball(rule: Recipe) -> Method {
    Method::Whole(WholeRule::Hyperball(Hyperball::new(rule)))
}

/// 2603.14315: c = 10, wd = 0.1, scale sqrt(max(1, m / n)).
const CLIP: SpectralMap = SpectralMap::SoftClip { clip: SoftClip::AUTO, threshold: 10.0 };
const MUON: SpectralMap = SpectralMap::Orthogonalize(Polar::MUON);
const SIGNUM: Signum = Signum { mu: 0.95, nesterov: true };
/// Also the rule of everything that is not a hidden matrix.
const ADAMW: Recipe =
    Recipe::new(Direction::Adam(Adam::PYTORCH), SpectralMap::Identity, StepScale::One, 0.01);
const LION: Recipe = Recipe { direction: Direction::Lion(Lion::PAPER), weight_decay: 0.0, ..ADAMW };
const ADAM: Recipe = Recipe { weight_decay: 0.0, ..ADAMW };
const MOMENTUM: Direction = Direction::Momentum(Momentum::muon(0.95));
const AVERAGED: Momentum = Momentum { mu: 0.95, nesterov: false, averaged: true };
const EXACT: SpectralMap = SpectralMap::Orthogonalize(Polar::EXACT);
const NORMUON: SpectralMap = SpectralMap::Normalized { polar: Polar::MUON, moment: SecondMoment::NORMUON };
const ADAMUON: SpectralMap = SpectralMap::Normalized { polar: Polar::MUON, moment: SecondMoment::ADAMUON };
/// Scion's momentum 0.1 is one minus ours; 50 is its authors' radius of hidden layers.
const SCION: Recipe = Recipe::new(
    Direction::Momentum(Momentum { mu: 0.9, ..AVERAGED }),
    MUON,
    StepScale::RmsOperator { radius: 50.0 },
    1.0,
);

/// 2602.11185, Algorithms 1 and 2.
pub(super) const SPECTRA: Recipe = Recipe::new(
    Direction::Momentum(Momentum::polyak(0.95)),
    SpectralMap::TailShrink(TailShrink::PAPER),
    StepScale::RMS,
    0.0,
);

/// All presets.
#[rustfmt::skip]
const PRESETS: &[Row] = &[
    ("spectra", Method::Recipe(SPECTRA),
        "2602.11185, Algorithms 1 and 2: ratio 0.015, T = 1; mu = 0.95 is ours"),
    ("spectra-adamw", recipe(Direction::Adam(Adam::PYTORCH), CLIP, StepScale::AspectRatio, 0.1),
        "2603.14315, section 5 and appendix F.3"),
    ("spectra-signum", recipe(Direction::Signum(SIGNUM), CLIP, StepScale::AspectRatio, 0.1),
        "2603.14315, appendix F.3: mu 0.95, Nesterov"),
    ("spectra-ademamix", recipe(Direction::AdEmaMix(AdEmaMix::PAPER), CLIP, StepScale::AspectRatio, 0.1),
        "2603.14315, appendix F.3: b3 0.999, alpha 8"),
    ("spectra-mars", recipe(Direction::Mars(Mars::PAPER), CLIP, StepScale::AspectRatio, 0.1),
        "2603.14315's wrapper around MARS-AdamW, appendix F.3"),
    ("muon", recipe(Direction::Momentum(Momentum::muon(0.95)), MUON, StepScale::AspectRatio, 0.0),
        "KellerJordan/Muon: five quintic steps, Nesterov"),
    ("d-muon", recipe(Direction::Momentum(Momentum::muon(0.95)), MUON, StepScale::MaxDimension { factor: 0.2 }, 0.1),
        "Liu et al. 2025 (2502.16982): 0.2 sqrt(max(m, n))"),
    ("muon-polar-express", recipe(MOMENTUM, SpectralMap::Orthogonalize(Polar::POLAR_EXPRESS_SHORT), StepScale::AspectRatio, 0.0),
        "modded-nanogpt, microsoft/dion: five steps of 2505.16932"),
    ("muon-gram", recipe(MOMENTUM, SpectralMap::Orthogonalize(Polar::GRAM), StepScale::AspectRatio, 0.0),
        "ours: four steps of 2505.16932 after the Gram bound ||(X X^T)^2||_F^(1/4) in place of the Frobenius norm"),
    ("muon-hyperball", hyperball(Recipe::new(MOMENTUM, MUON, StepScale::One, 0.0)),
        "2606.16899; NVIDIA's MuonHyperball but for its one radius"),
    ("normuon", recipe(MOMENTUM, NORMUON, StepScale::AspectRatio, 0.0),
        "zichongli5/NorMuon (2510.05491): b2 0.95 of the rows"),
    ("adamuon", recipe(Direction::Signum(SIGNUM), ADAMUON, StepScale::MatchNorm { rms: 0.2, eps: 1e-8 }, 0.01),
        "Chongjie-Si/AdaMuon (2507.11005): sign first, b2 0.95 of the entries"),
    ("polargrad", recipe(Direction::Momentum(AVERAGED), EXACT, StepScale::InnerProduct, 0.0),
        "timlautk/polargrad (2505.21799), momentum first, its factor to the end"),
    ("polargrad-first", recipe(Direction::PolarFirst(PolarFirst { mu: 0.95, polar: Polar::EXACT }), SpectralMap::Identity, StepScale::One, 0.0),
        "timlautk/polargrad (2505.21799), polar factor first"),
    ("scion", Method::Recipe(SCION),
        "LIONS-EPFL/scion (2502.07529), constrained: weight decay 1, radius 50 of hidden layers"),
    ("scion-unconstrained", Method::Recipe(Recipe { weight_decay: 0.0, ..SCION }),
        "LIONS-EPFL/scion (2502.07529), unconstrained"),
    ("adamw-post-orth", recipe(Direction::Adam(Adam::PYTORCH), MUON, StepScale::AspectRatio, 0.1),
        "2603.14315, appendix F.3 (AdamW-Post-Orth)"),
    ("adamw", Method::Recipe(ADAMW),
        "Loshchilov and Hutter 2019; PyTorch's defaults"),
    ("adamw-cautious", cautious(ADAMW),
        "Chen et al. 2025 (2510.12402) on PyTorch's AdamW"),
    ("adam-hyperball", hyperball(ADAM),
        "2606.16899, AdamH: our reading of the formula, no program of the authors was run"),
    ("lion", Method::Recipe(LION),
        "Chen et al. 2023 (2302.06675), google/automl: 0.9, 0.99"),
    ("lion-cautious", cautious(Recipe { weight_decay: 0.1, ..LION }),
        "microsoft/dion: Lion with 2510.12402's decay; 0.1 is ours"),
    ("dion", Method::Whole(WholeRule::Dion(Dion { rank: DionRank::Fraction { fraction: 0.25, multiple_of: 1 }, ..Dion::REFERENCE })),
        "Ahn et al. 2025 (2504.05295), dion_reference.py; the rank fraction 0.25 is ours"),
    ("dion2", Method::Whole(WholeRule::Dion2(Dion2::PAPER)),
        "2512.16928; dion2.py"),
    ("dion3", Method::Whole(WholeRule::Dion2(Dion2::DION3)),
        "nordion2.py of github.com/microsoft/dion; there is no paper"),
    ("soap", Method::Whole(WholeRule::Soap(Soap::PAPER)),
        "Vyas et al. 2024 (2409.11321); soap.py"),
    ("shampoo", Method::Whole(WholeRule::Shampoo(Shampoo::GRAFTED)),
        "Gupta et al. 2018 (1802.09568), Shi et al. 2023 (2309.06497): Adam's graft; roots every 10 steps are ours"),
    ("signum", recipe(Direction::Signum(SIGNUM), SpectralMap::Identity, StepScale::One, 0.1),
        "Bernstein et al. 2018; 2603.14315, appendix F.3"),
    ("ademamix", recipe(Direction::AdEmaMix(AdEmaMix::PAPER), SpectralMap::Identity, StepScale::One, 0.1),
        "Pagliardini et al. 2025; 2603.14315, appendix F.3"),
    ("mars", recipe(Direction::Mars(Mars::PAPER), SpectralMap::Identity, StepScale::One, 0.1),
        "Yuan et al. 2024; 2603.14315, appendix F.3"),
    ("frank-wolfe", recipe(Direction::Momentum(Momentum::polyak(0.95)), SpectralMap::HardClip { clip: HardClip::AUTO, threshold: 10.0 }, StepScale::One, 0.1),
        "2603.14315, Proposition 1: radius D = c / wd on the spectral norm of the weights"),
    ("sgd-m", recipe(Direction::Momentum(Momentum::polyak(0.9)), SpectralMap::Identity, StepScale::One, 0.0),
        "Polyak 1964; mu 0.9"),
];

impl Recipe {
    /// AdamW: also the default rule of everything that is not a hidden matrix.
    pub const fn adamw() -> Self {
        ADAMW
    }

    /// The preset of this name that is a recipe; see [`Method::presets`].
    ///
    /// # Errors
    /// [`ErrorKind::Name`] for an unknown name, and for one that is a rule of another kind.
    pub fn preset(name: &str) -> Result<Self> {
        match Method::preset(name)? {
            Method::Recipe(recipe) => Ok(recipe),
            Method::Whole(_) => refuse(name, "is a preset, but no recipe; Method::preset(..) has it"),
        }
    }
}

impl Method {
    /// The preset or [experiment](Self::experiments) of this name; see [`presets`](Self::presets).
    ///
    /// # Errors
    /// [`ErrorKind::Name`] for an unknown name.
    pub fn preset(name: &str) -> Result<Self> {
        match PRESETS.iter().chain(EXPERIMENTS).find(|row| row.0 == name) {
            Some((_, method, _)) => Ok(*method),
            None => refuse(name, "is not a preset; Method::presets() lists them"),
        }
    }

    /// `(name, method, source of its defaults)` of every preset.
    pub fn presets() -> impl Iterator<Item = (&'static str, Self, &'static str)> {
        PRESETS.iter().copied()
    }
}

fn refuse<T>(name: &str, reason: &'static str) -> Result<T> {
    Err(Error::new("preset", ErrorKind::Name { name: name.into(), reason }))
}
