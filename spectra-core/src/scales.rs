//! Step scales: the third choice.

use crate::backend::{Backend, Result, Scalar, ScalarOp, domain};
use crate::maps::Mapped;
use core::fmt;

/// What a scale may look at beside the shape.
#[derive(Debug)]
pub struct Update<'a, B: Backend> {
    /// The direction.
    pub direction: &'a B::Matrix,
    /// What the map made of it.
    pub mapped: &'a Mapped<B>,
    /// Rows and columns of the weights.
    pub shape: (usize, usize),
}

/// The factor `scale` in `X <- (1 - lr wd) X - lr scale O`. One of the two methods gives it.
pub trait ScaleRule<B: Backend>: fmt::Debug + Send + Sync {
    /// The scale if it depends on the shape alone.
    fn of_shape(&self, shape: (usize, usize)) -> Option<f64>;

    /// The scale of this update; asked where the shape alone does not tell. Does not wait for the device.
    ///
    /// # Errors
    /// Those of the backend.
    fn of_update(&self, update: &Update<'_, B>, backend: &B) -> Result<B::Scalar> {
        backend.scalar(self.of_shape(update.shape).unwrap_or(1.0))
    }

    /// The largest Frobenius norm of a direction of which it takes squares. `wide`:
    /// [`Matrix::has_wide_dot`](crate::backend::Matrix::has_wide_dot).
    fn largest_norm(&self, wide: bool) -> f64 {
        let _ = wide;
        f64::INFINITY
    }

    /// An error if a setting is outside its domain.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the setting's name.
    fn validate(&self) -> Result<()> {
        Ok(())
    }
}

/// The factor `scale` in `X <- (1 - lr wd) X - lr scale O`, for an m x n matrix (rows = output features).
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum StepScale {
    /// 1.
    One,
    /// `sqrt(max(1, m / n))` (Muon's reference program; 2603.14315's program).
    AspectRatio,
    /// `sqrt(m / n)`, which shrinks the steps of wide matrices (Dion and Scion; 2504.05295, 2502.07529).
    Ratio,
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
    pub fn of_shape(&self, (rows, cols): (usize, usize)) -> Option<f64> {
        let (m, n) = (rows as f64, cols as f64);
        match *self {
            Self::One => Some(1.0),
            Self::AspectRatio => Some(libm::sqrt((m / n).max(1.0))),
            Self::Ratio => Some(libm::sqrt(m / n)),
            Self::MaxDimension { factor } => Some(factor * libm::sqrt(m.max(n))),
            Self::MatchRms { .. } => None,
        }
    }
}

impl<B: Backend> ScaleRule<B> for StepScale {
    fn of_shape(&self, shape: (usize, usize)) -> Option<f64> {
        StepScale::of_shape(self, shape)
    }

    fn of_update(&self, update: &Update<'_, B>, backend: &B) -> Result<B::Scalar> {
        let Self::MatchRms { rms, eps } = *self else {
            return backend.scalar(self.of_shape(update.shape).unwrap_or(1.0));
        };
        let norm_squared = update.mapped.norm_squared(update.direction)?;
        let combine = <B::Scalar as Scalar>::combine;
        let (rows, cols) = update.shape;
        let mean = combine(ScalarOp::Div, &norm_squared, &backend.scalar((rows * cols).max(1) as f64)?)?;
        let measured = combine(ScalarOp::Add, &mean.sqrt()?, &backend.scalar(eps)?)?;
        combine(ScalarOp::Div, &backend.scalar(rms)?, &measured)
    }

    /// With half of the range left.
    fn largest_norm(&self, wide: bool) -> f64 {
        match self {
            Self::MatchRms { .. } if wide => libm::sqrt(f64::MAX / 2.0),
            Self::MatchRms { .. } => libm::sqrt(domain::largest::<B::Element>() / 2.0),
            Self::One | Self::AspectRatio | Self::Ratio | Self::MaxDimension { .. } => f64::INFINITY,
        }
    }

    fn validate(&self) -> Result<()> {
        match *self {
            Self::One | Self::AspectRatio | Self::Ratio => Ok(()),
            Self::MaxDimension { factor } => domain::factor::<B::Element>("step_scale", "factor", factor),
            Self::MatchRms { rms, eps } => {
                domain::factor::<B::Element>("step_scale", "rms", rms)?;
                domain::square_normal::<B::Element>("step_scale", "eps", eps)
            }
        }
    }
}
