//! Step scales: the third choice.

use crate::backend::{Backend, Element, Result, Scalar, ScalarOp, domain};

/// The factor `scale` in `X <- (1 - lr wd) X - lr scale O`, for an m x n matrix (rows = output features).
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum StepScale {
    /// 1.
    One,
    /// `sqrt(max(1, m / n))` (Muon's reference program; 2603.14315's program).
    AspectRatio,
    /// `factor sqrt(max(m, n))`; 0.2 matches AdamW's typical RMS (Moonlight, 2502.16982).
    MaxDimension {
        /// 0.2; positive, in `f32` from 2.4e-10 to 4.2e9.
        factor: f64,
    },
    /// `rms / (||O||_F / sqrt(mn) + eps)`: every update has the same RMS (2602.11185, Algorithm 1, line 11).
    MatchRms {
        /// 0.2; positive, in `f32` from 2.4e-10 to 4.2e9.
        rms: f64,
        /// Added to the measured RMS; the paper gives no value, 1e-8 is ours. Positive with a square that does not vanish in
        /// the arithmetic type, from 1.1e-19 in `f32`: of a smaller O the measured square is 0, and the scale `rms / eps`.
        eps: f64,
    },
}

impl StepScale {
    /// The paper's RMS match: 0.2, eps 1e-8.
    pub const RMS: Self = Self::MatchRms { rms: 0.2, eps: 1e-8 };

    /// The scale if it depends on the shape alone.
    pub fn of_shape(&self, rows: usize, cols: usize) -> Option<f64> {
        let (m, n) = (rows as f64, cols as f64);
        match *self {
            Self::One => Some(1.0),
            Self::AspectRatio => Some(libm::sqrt((m / n).max(1.0))),
            Self::MaxDimension { factor } => Some(factor * libm::sqrt(m.max(n))),
            Self::MatchRms { .. } => None,
        }
    }

    /// The scale for an update with this squared Frobenius norm, as a device scalar.
    pub(super) fn of_norm<B: Backend>(
        rms: f64,
        eps: f64,
        (rows, cols): (usize, usize),
        norm_squared: &B::Scalar,
        backend: &B,
    ) -> Result<B::Scalar> {
        let combine = <B::Scalar as Scalar>::combine;
        let mean = combine(ScalarOp::Div, norm_squared, &backend.scalar((rows * cols).max(1) as f64)?)?;
        let measured = combine(ScalarOp::Add, &mean.sqrt()?, &backend.scalar(eps)?)?;
        combine(ScalarOp::Div, &backend.scalar(rms)?, &measured)
    }

    /// An error if a setting is outside its domain for arithmetic in `E`.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the setting's name.
    pub fn validate<E: Element>(&self) -> Result<()> {
        match *self {
            Self::One | Self::AspectRatio => Ok(()),
            Self::MaxDimension { factor } => domain::factor::<E>("step_scale", "factor", factor),
            Self::MatchRms { rms, eps } => {
                domain::factor::<E>("step_scale", "rms", rms)?;
                domain::square_normal::<E>("step_scale", "eps", eps)
            }
        }
    }
}
