//! Step scales: the third choice.

use crate::backend::{Backend, Coefficient, Matrix, Op, Result, Scalar, ScalarOp, domain};
use crate::linalg::Workspace;
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
    fn of_update(&self, update: &Update<'_, B>, workspace: &mut Workspace<B>) -> Result<B::Scalar> {
        workspace.backend().scalar(self.of_shape(update.shape).unwrap_or(1.0))
    }

    /// Whether [`of_update`](Self::of_update) asks for the norm of the mapped direction and for nothing else.
    fn is_of_norm(&self) -> bool {
        false
    }

    /// Whether it asks for the same operations whatever the numbers are, and reads none: then it works on
    /// [stacks](crate::backend::Stacking).
    fn is_uniform(&self) -> bool {
        false
    }

    /// The largest Frobenius norm of a direction of which it takes squares. `wide`:
    /// [`Matrix::has_wide_dot`].
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
    /// `factor sqrt(max(m, n))`; 0.2 matches AdamW's typical RMS (Moonlight, 2502.16982).
    MaxDimension {
        /// 0.2; positive, in `f32` from 2.4e-10 to 4.2e9.
        factor: f64,
    },
    /// `radius sqrt(m / n)`, not kept from 1: an O with singular values of 1 has the norm `radius` from RMS to RMS (Scion, 2502.07529).
    RmsOperator {
        /// The radius, rho of Scion; positive, in `f32` from 2.4e-10 to 4.2e9.
        radius: f64,
    },
    /// `radius / n`: Scion's sign norm, for the sign of a momentum in the last layer.
    PerInput {
        /// Likewise.
        radius: f64,
    },
    /// `<D, O>` of the direction D: the nuclear norm of D if O is its polar factor (PolarGrad, 2505.21799).
    InnerProduct,
    /// `rms sqrt(mn) / (||O||_F + eps)`: [`MatchRms`](Self::MatchRms) with eps added to the norm (AdaMuon, 2507.11005).
    MatchNorm {
        /// 0.2; positive, in `f32` from 2.4e-10 to 4.2e9.
        rms: f64,
        /// Added to the measured norm, 1e-8; in the domain of `MatchRms`.
        eps: f64,
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

    /// `sqrt(m / n)`, which shrinks the steps of wide matrices (Dion, 2504.05295).
    pub const RATIO: Self = Self::RmsOperator { radius: 1.0 };

    /// The scale if it depends on the shape alone.
    pub fn of_shape(&self, (rows, cols): (usize, usize)) -> Option<f64> {
        let (m, n) = (rows as f64, cols as f64);
        match *self {
            Self::One => Some(1.0),
            Self::AspectRatio => Some(libm::sqrt((m / n).max(1.0))),
            Self::MaxDimension { factor } => Some(factor * libm::sqrt(m.max(n))),
            Self::RmsOperator { radius } => Some(radius * libm::sqrt(m / n)),
            Self::PerInput { radius } => Some(radius / n),
            Self::InnerProduct | Self::MatchNorm { .. } | Self::MatchRms { .. } => None,
        }
    }
}

impl<B: Backend> ScaleRule<B> for StepScale {
    fn of_shape(&self, shape: (usize, usize)) -> Option<f64> {
        StepScale::of_shape(self, shape)
    }

    fn of_update(&self, update: &Update<'_, B>, workspace: &mut Workspace<B>) -> Result<B::Scalar> {
        let combine = <B::Scalar as Scalar>::combine;
        let entries = (update.shape.0 * update.shape.1).max(1) as f64;
        let (rms, eps, squares, factor) = match *self {
            Self::MatchRms { rms, eps } => (rms, eps, entries, 1.0),
            Self::MatchNorm { rms, eps } => (rms, eps, 1.0, libm::sqrt(entries)),
            Self::InnerProduct => return inner_product(update, workspace),
            _ => return workspace.backend().scalar(self.of_shape(update.shape).unwrap_or(1.0)),
        };
        let norm_squared = update.mapped.norm_squared(update.direction)?;
        let backend = workspace.backend();
        let mean = combine(ScalarOp::Div, &norm_squared, &backend.scalar(squares)?)?;
        let measured = combine(ScalarOp::Add, &mean.sqrt()?, &backend.scalar(eps)?)?;
        combine(ScalarOp::Div, &backend.scalar(rms * factor)?, &measured)
    }

    fn is_uniform(&self) -> bool {
        true
    }

    fn is_of_norm(&self) -> bool {
        matches!(self, Self::MatchRms { .. } | Self::MatchNorm { .. })
    }

    /// With half of the range left.
    fn largest_norm(&self, wide: bool) -> f64 {
        match self {
            Self::MatchRms { .. } | Self::MatchNorm { .. } if wide => libm::sqrt(f64::MAX / 2.0),
            // The inner product makes the step itself, in the element type.
            Self::MatchRms { .. } | Self::MatchNorm { .. } | Self::InnerProduct => {
                libm::sqrt(domain::largest::<B::Element>() / 2.0)
            }
            _ => f64::INFINITY,
        }
    }

    fn validate(&self) -> Result<()> {
        match *self {
            Self::One | Self::AspectRatio | Self::InnerProduct => Ok(()),
            Self::RmsOperator { radius } | Self::PerInput { radius } => {
                domain::factor::<B::Element>("step_scale", "radius", radius)
            }
            Self::MaxDimension { factor } => domain::factor::<B::Element>("step_scale", "factor", factor),
            Self::MatchRms { rms, eps } | Self::MatchNorm { rms, eps } => {
                domain::factor::<B::Element>("step_scale", "rms", rms)?;
                domain::square_normal::<B::Element>("step_scale", "eps", eps)
            }
        }
    }
}

/// `<D, O>`.
fn inner_product<B: Backend>(update: &Update<'_, B>, workspace: &mut Workspace<B>) -> Result<B::Scalar> {
    let Update { direction, mapped, .. } = update;
    match mapped {
        Mapped::Unchanged => direction.dot(direction),
        Mapped::Dense(out) => direction.dot(out),
        Mapped::Shaped(shaped) => {
            let whole = direction.dot(direction)?;
            let Some((left, right)) = &shaped.correction else { return Ok(whole) };
            // <D, f D - L R^T> = f <D, D> - <D R, L>.
            let mut projected = workspace.take_like(left, left.shape().1)?;
            let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
            projected.gemm(zero, one, direction, Op::Plain, right, Op::Plain)?;
            let removed = projected.dot(left)?;
            workspace.give(projected);
            let whole = if shaped.tail == 1.0 {
                whole
            } else {
                B::Scalar::combine(ScalarOp::Mul, &whole, &workspace.backend().scalar(shaped.tail)?)?
            };
            B::Scalar::combine(ScalarOp::Sub, &whole, &removed)
        }
    }
}
