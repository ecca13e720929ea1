//! Dion's choices: rank, side, and how the tall factor is made orthonormal.

use crate::backend::{Result, require};

/// The rank r of Dion's update, never above `min(m, n)`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum DionRank {
    /// So many columns, at least 1 (`dion_simple.py`: 768).
    Columns(usize),
    /// `fraction min(m, n)` rounded up to a multiple (`dion_reference.py`: 1.0 and 1).
    Fraction {
        /// In (0, 1].
        fraction: f64,
        /// At least 1.
        multiple_of: usize,
    },
}

impl DionRank {
    /// r for a matrix with this short side.
    pub(super) fn of(self, short: usize) -> usize {
        let rank = match self {
            Self::Columns(rank) => rank,
            Self::Fraction { fraction, multiple_of } => {
                let rank = libm::ceil(fraction * short as f64 / multiple_of as f64);
                (rank as usize).saturating_mul(multiple_of)
            }
        };
        rank.min(short)
    }

    pub(super) fn validate(self) -> Result<()> {
        match self {
            Self::Columns(rank) => require(rank >= 1, "dion", "rank", rank as f64, "at least 1"),
            Self::Fraction { fraction, multiple_of } => {
                require(fraction > 0.0 && fraction <= 1.0, "dion", "fraction", fraction, "in (0, 1]")?;
                require(multiple_of >= 1, "dion", "multiple_of", multiple_of as f64, "at least 1")
            }
        }
    }
}

/// On which side of M the cached factor Q is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum DionSide {
    /// `M Q`, Q is n x r: `dion_simple.py`.
    Right,
    /// `M^T Q`, Q is m x r.
    Left,
    /// Left for wide matrices, m < n, and right for the others: `dion_reference.py`.
    Short,
}

impl DionSide {
    pub(super) fn is_left(self, (m, n): (usize, usize)) -> bool {
        match self {
            Self::Right => false,
            Self::Left => true,
            Self::Short => m < n,
        }
    }
}

/// The orthonormalisation of Dion's tall factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum DionQr {
    /// [`orthonormalize`](crate::linalg::orthonormalize): Cholesky QR where the columns are well conditioned, twice or by Gram-Schmidt where they are not.
    Cholesky,
    /// Gram-Schmidt with one re-orthogonalisation in `f64` on the host. **Waits** for a device.
    GramSchmidt,
}
