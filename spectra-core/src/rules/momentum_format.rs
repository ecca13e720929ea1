//! In what numbers a recipe keeps its first moment.

use super::GradientLimits;
use crate::backend::{Result, require};
use crate::linalg::SixteenBits;
use crate::state::{BufferSpec, MOMENTUM};

/// The numbers in which a recipe keeps its momentum (first moment); direction and map compute in the arithmetic type whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum MomentumFormat {
    /// The arithmetic type.
    #[default]
    Full,
    /// bf16, two bytes a number, rounded to nearest (ties to even) at every step. With `u = 2^-8` an entry of `M = mu M + c G` is off by at most
    /// `u / (1 - mu)` times the largest that it was lately: 8 % for mu 0.95, 4 % for 0.9; what would change it by less than half a unit of its last
    /// place is lost. Hence only memories up to `1 - 2^-7`. Second moments, AdEMAMix's slow momentum and MARS's last gradient stay as they are.
    ///
    /// The CPU backends of this crate have it; any other refuses it by name, unless it overrides
    /// [`zeros_stored`](crate::backend::Backend::zeros_stored). A state in full width is rounded once when it is loaded into bf16; the other way
    /// nothing is lost.
    Bf16,
}

impl MomentumFormat {
    /// Whether it is the arithmetic type, as ever.
    #[cfg(feature = "serde")]
    pub(super) fn is_full(&self) -> bool {
        *self == Self::Full
    }

    /// The 16 bits, if it is in such.
    pub fn sixteen_bits(self) -> Option<SixteenBits> {
        match self {
            Self::Full => None,
            Self::Bf16 => Some(SixteenBits::Bf16),
        }
    }

    /// The buffers of a recipe, with the momentum so kept.
    pub(super) fn of(self, mut buffers: alloc::vec::Vec<BufferSpec>) -> alloc::vec::Vec<BufferSpec> {
        buffers
            .iter_mut()
            .filter(|spec| spec.name == MOMENTUM)
            .for_each(|spec| spec.format = self.sixteen_bits());
        buffers
    }

    /// An error if a momentum with this memory would stand still.
    pub(super) fn validate(self, memory: f64) -> Result<()> {
        let ok = self == Self::Full || memory <= 1.0 - 1.0 / 128.0;
        require(
            ok,
            "recipe",
            "momentum_format (the memory of a momentum in bf16)",
            memory,
            "at most 1 - 2^-7",
        )
    }

    /// Gradients that keep the momentum finite: it is at most `1 / (1 - mu) <= 2^7` of them, and half of bf16's range is 2^127.
    pub(super) fn limit(self, limits: GradientLimits) -> GradientLimits {
        match self {
            Self::Full => limits,
            // 2^119
            Self::Bf16 => {
                GradientLimits { entry: limits.entry.min(f64::from_bits((1023 + 119) << 52)), ..limits }
            }
        }
    }
}
