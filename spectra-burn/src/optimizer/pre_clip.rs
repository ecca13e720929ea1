//! The pre-clip of a step's gradients.

use super::Spectral;
use super::gradients::Look;
use super::hybrid::Member;
use super::shared::Arithmetic;
use crate::{BurnBackend, BurnMatrix};
use spectra_core::backend::Result;

/// Gradients that the pre-clip concerns are replaced by the clipped ones, with `factor` times its threshold.
pub(super) struct PreClipped<'a> {
    pub(super) spectral: &'a Spectral,
    pub(super) factor: f64,
}

impl Look for PreClipped<'_> {
    fn look<E: Arithmetic>(
        &mut self,
        backend: &BurnBackend<E>,
        gradient: &BurnMatrix<E>,
        member: &Member,
    ) -> Result<Option<BurnMatrix<E>>> {
        let Some(clip) = self.spectral.pre_clip_of(member.view.rule) else { return Ok(None) };
        self.spectral.clip(clip, backend, gradient, (&member.blocks, self.factor)).map(Some)
    }
}
