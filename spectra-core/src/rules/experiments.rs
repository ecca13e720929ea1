//! Compositions that nobody has published and nothing speaks for yet: one row each.

use super::presets::{Row, SPECTRA, cautious, hyperball};
use super::{Method, Recipe};
use crate::maps::{MomentOf, SecondMoment, SpectralMap, TailShrink};

const NORMALIZED: SpectralMap = SpectralMap::NormalizedShrink {
    shrink: TailShrink::PAPER,
    moment: SecondMoment::NORMUON,
    of: MomentOf::Image,
};

/// Those that are no preset with another number: what a field of a preset says needs no name.
pub(super) const EXPERIMENTS: &[Row] = &[
    (
        "spectra-normalized",
        Method::Recipe(Recipe { map: NORMALIZED, ..SPECTRA }),
        "tail shrink with NorMuon's second moment of the rows of its image",
    ),
    (
        "spectra-cautious",
        cautious(Recipe { weight_decay: 0.1, ..SPECTRA }),
        "tail shrink with the decay of 2510.12402; 0.1 is ours",
    ),
    ("spectra-hyperball", hyperball(SPECTRA), "tail shrink's updates on the sphere of 2606.16899"),
];

impl Method {
    /// `(name, method, what it is)` of the experiments: compositions of this library that [`preset`](Self::preset) knows by name, so that programs can
    /// try them, and that no [preset](Self::presets) is, because there is no evidence for them.
    ///
    /// ```
    /// use spectra_core::rules::Method;
    ///
    /// for (name, method, _) in Method::experiments() {
    ///     assert_eq!(Method::preset(name)?, method);
    ///     assert!(Method::presets().all(|(preset, ..)| preset != name));
    /// }
    /// # Ok::<(), spectra_core::backend::Error>(())
    /// ```
    pub fn experiments() -> impl Iterator<Item = (&'static str, Self, &'static str)> {
        EXPERIMENTS.iter().copied()
    }
}
