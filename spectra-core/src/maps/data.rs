//! The maps of this library as data.

use super::{
    Clip, HardClip, Identity, MapItem, MapRule, Mapped, Moment, MomentumUpdate, Normalized, Prenormalized,
    SecondMoment, SoftClip, TailShrink,
};
use crate::backend::{Backend, Result};
use crate::linalg::{Polar, Workspace};
use crate::rules::Sharding;
use crate::state::{BufferSpec, State};
use alloc::{string::String, vec::Vec};

/// Of what a second moment beside a map is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum MomentOf {
    /// Of the image, which is divided by it: [`Normalized`].
    Image,
    /// Of the direction, which is divided by it before it is mapped: [`Prenormalized`].
    Direction,
}

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
    /// `sigma -> 1`, then over the root of a second moment of what that gave.
    Normalized {
        /// How the polar factor is computed.
        polar: Polar,
        /// What it is divided by.
        moment: SecondMoment,
    },
    /// Tail shrink with a second moment beside it.
    NormalizedShrink {
        /// The map.
        shrink: TailShrink,
        /// What is divided by.
        moment: SecondMoment,
        /// What is divided.
        of: MomentOf,
    },
}

impl SpectralMap {
    /// Runs `f` on the map's behaviour.
    pub fn with_rule<B: Backend, R>(&self, f: impl FnOnce(&dyn MapRule<B>) -> R) -> R {
        match *self {
            Self::Identity => f(&Identity),
            Self::TailShrink(map) => f(&map),
            Self::SoftClip { clip, threshold } => f(&Clip { clip, threshold }),
            Self::HardClip { clip, threshold } => f(&Clip { clip, threshold }),
            Self::Orthogonalize(polar) => f(&polar),
            Self::Normalized { polar, moment } => f(&Normalized { map: polar, moment }),
            Self::NormalizedShrink { shrink: map, moment, of: MomentOf::Image } => {
                f(&Normalized { map, moment })
            }
            Self::NormalizedShrink { shrink: map, moment, of: MomentOf::Direction } => {
                f(&Prenormalized { map, moment })
            }
        }
    }

    /// The tail shrink that it is, or that it runs beside a second moment; to change.
    pub fn tail_shrink_mut(&mut self) -> Option<&mut TailShrink> {
        match self {
            Self::TailShrink(shrink) | Self::NormalizedShrink { shrink, .. } => Some(shrink),
            _ => None,
        }
    }

    /// The threshold c of a clip.
    pub fn threshold(&self) -> Option<f64> {
        match self {
            Self::SoftClip { threshold, .. } | Self::HardClip { threshold, .. } => Some(*threshold),
            _ => None,
        }
    }
}

impl<B: Backend> MapRule<B> for SpectralMap {
    fn name(&self) -> &'static str {
        self.with_rule::<B, _>(|rule| rule.name())
    }

    fn signature(&self) -> String {
        self.with_rule::<B, _>(|rule| rule.signature())
    }

    fn map(
        &self,
        direction: &B::Matrix,
        out: &mut B::Matrix,
        moment: &Moment,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        self.with_rule::<B, _>(|rule| rule.map(direction, out, moment, workspace))
    }

    fn buffers(&self, shape: (usize, usize)) -> Vec<BufferSpec> {
        self.with_rule::<B, _>(|rule| rule.buffers(shape))
    }

    fn flops(&self, shape: (usize, usize)) -> f64 {
        self.with_rule::<B, _>(|rule| rule.flops(shape))
    }

    fn sharding(&self, shape: (usize, usize)) -> Option<Sharding> {
        self.with_rule::<B, _>(|rule| rule.sharding(shape))
    }

    fn is_identity(&self) -> bool {
        *self == Self::Identity
    }

    fn is_uniform(&self) -> bool {
        self.with_rule::<B, _>(|rule| rule.is_uniform())
    }

    fn validate(&self) -> Result<()> {
        self.with_rule::<B, _>(|rule| rule.validate())
    }

    fn check_clip_factor(&self, factor: f64) -> Result<()> {
        self.with_rule::<B, _>(|rule| rule.check_clip_factor(factor))
    }

    fn largest_norm(&self, shape: (usize, usize), host_knows_norms: bool) -> f64 {
        self.with_rule::<B, _>(|rule| rule.largest_norm(shape, host_knows_norms))
    }

    fn largest_singular_value(&self, moment: &Moment) -> Option<f64> {
        self.with_rule::<B, _>(|rule| rule.largest_singular_value(moment))
    }

    fn resize(&self, wanted: &BufferSpec, saved: &B::Matrix, backend: &B) -> Result<Option<B::Matrix>> {
        self.with_rule::<B, _>(|rule| rule.resize(wanted, saved, backend))
    }

    fn apply_all(&self, all: &mut [MapItem<'_, B>], workspace: &mut Workspace<B>) -> Result<()> {
        self.with_rule::<B, _>(|rule| rule.apply_all(all, workspace))
    }

    fn gains_together(&self) -> bool {
        self.with_rule::<B, _>(|rule| rule.gains_together())
    }

    fn apply(
        &self,
        direction: &mut B::Matrix,
        update: MomentumUpdate<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        moment: &Moment,
        workspace: &mut Workspace<B>,
    ) -> Result<Mapped<B>> {
        self.with_rule::<B, _>(|rule| rule.apply(direction, update, state, moment, workspace))
    }
}
