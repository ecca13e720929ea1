//! The clip threshold's schedule beside a recipe's own threshold.

use spectra_core::backend::{Error, Result};
use spectra_core::maps::SpectralMap;
use spectra_core::optimizer::Recipe;
use spectra_core::schedules::ClipThreshold;

/// A schedule of the threshold, which takes the place of the recipe's.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClipSchedule(pub(super) ClipThreshold);

impl ClipSchedule {
    /// `c_t / c` with the schedule's `c_t` at the model's 0-based step `t` and the recipe's `c`, which every step multiplies
    /// by it; 1 for a recipe that does not clip.
    pub(super) fn factor(&self, recipe: &Recipe, step: u64) -> f64 {
        threshold(recipe).map_or(1.0, |threshold| self.0.at(step) / threshold)
    }

    /// An error unless one of the recipes clips.
    pub(super) fn check(&self, recipes: [&Recipe; 2]) -> Result<()> {
        if recipes.into_iter().any(|recipe| threshold(recipe).is_some()) {
            return Ok(());
        }
        let requirement = "unset: neither recipe clips singular values";
        Err(Error::argument("config", "clip_threshold", self.0.at(0), requirement))
    }
}

/// `c` of a recipe that clips.
fn threshold(recipe: &Recipe) -> Option<f64> {
    match recipe.map {
        SpectralMap::SoftClip { threshold, .. } | SpectralMap::HardClip { threshold, .. } => Some(threshold),
        SpectralMap::Identity | SpectralMap::TailShrink(_) | SpectralMap::Orthogonalize(_) => None,
    }
}
