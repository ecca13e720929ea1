//! Spectral clipping of the raw gradients (2603.14315, section 5), before the global norm clip.

use super::plan::Rule;
use crate::backend::{Backend, Element, Matrix, Result, domain};
use crate::linalg::Workspace;
use crate::maps::SoftClip;

/// Each gradient `G` is replaced by `H_c(G)`, the soft spectral clip, before anything else sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct PreClip {
    /// How it is computed.
    pub clip: SoftClip,
    /// c > 0, before and after the factor of its own schedule with a square that is in range: in `f32` from 1.1e-19 to 9.2e18.
    pub threshold: f64,
    /// Also the gradients of elementwise parameters (vectors by their norm).
    pub all: bool,
}

impl PreClip {
    /// Hidden matrices only, to rounding error.
    pub fn new(threshold: f64) -> Self {
        Self { clip: SoftClip::AUTO, threshold, all: false }
    }

    /// An error if a setting is outside its domain for arithmetic in `E`.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the setting's name.
    pub fn validate<E: Element>(&self) -> Result<()> {
        self.check_factor::<E>(1.0)?;
        self.clip.validate()
    }

    /// An error unless this factor leaves a threshold in its domain.
    pub(super) fn check_factor<E: Element>(&self, factor: f64) -> Result<()> {
        domain::square_normal::<E>("pre_clip", "threshold", self.threshold * factor)
    }

    /// Whether gradients of parameters with this rule are clipped.
    pub fn concerns(&self, rule: Rule) -> bool {
        rule == Rule::Spectral || (self.all && rule == Rule::Elementwise)
    }

    /// A bound of the clipped gradient's Frobenius norm: no singular value of `rank` is above c. Twice that, for rounding.
    pub fn largest_norm(&self, rank: usize, factor: f64) -> f64 {
        2.0 * self.threshold * factor * libm::sqrt(rank as f64)
    }

    /// The clipped gradient `H_c(G)`, `c = threshold factor`, in a temporary of the workspace.
    ///
    /// # Errors
    /// Those of [`SoftClip::apply`].
    pub fn apply<B: Backend>(
        &self,
        gradient: &B::Matrix,
        factor: f64,
        workspace: &mut Workspace<B>,
    ) -> Result<B::Matrix> {
        let _scope = workspace.scope();
        let (rows, cols) = gradient.shape();
        let mut clipped = workspace.take_like(gradient, cols)?;
        let c = self.threshold * factor;
        if rows.min(cols) == 1 {
            self.clip.apply_vector(gradient, c, &mut clipped, workspace)?;
        } else {
            self.clip.apply(gradient, c, &mut clipped, workspace)?;
        }
        Ok(clipped)
    }
}
