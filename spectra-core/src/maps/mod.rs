//! Spectral maps: what an optimizer does to the singular values of its direction.
//!
//! A map is a [`MapRule`]; the formula of each lives in the file of its name, and [`SpectralMap`] is the list of this library as
//! data. One of your own is a type with two methods:
//!
//! ```
//! use spectra_core::backend::{Backend, Coefficient, Matrix, Op, Result, Scalar, ScalarOp};
//! use spectra_core::linalg::Workspace;
//! use spectra_core::maps::{MapRule, Moment};
//!
//! /// `sigma -> 1.5 sigma - 0.5 sigma^3` of the direction over its Frobenius norm: one Newton-Schulz step.
//! #[derive(Debug, Clone)]
//! struct OneStep;
//!
//! impl<B: Backend> MapRule<B> for OneStep {
//!     fn name(&self) -> &'static str {
//!         "one step"
//!     }
//!
//!     fn map(&self, x: &B::Matrix, out: &mut B::Matrix, _: &Moment, w: &mut Workspace<B>) -> Result<()> {
//!         let norm = B::Scalar::combine(ScalarOp::Max, &x.dot(x)?.sqrt()?, &w.backend().scalar(1e-18)?)?;
//!         let inverse = B::Scalar::combine(ScalarOp::Div, &w.backend().scalar(1.0)?, &norm)?;
//!         let (mut unit, mut gram) = (w.take_like(x, x.shape().1)?, w.take(x.shape().0, x.shape().0)?);
//!         unit.scale_add(Coefficient::ZERO, Coefficient::device(1.0, &inverse), x)?;
//!         gram.gemm(Coefficient::ZERO, Coefficient::ONE, &unit, Op::Plain, &unit, Op::Transposed)?;
//!         out.scale_add(Coefficient::ZERO, 1.5.into(), &unit)?;
//!         out.gemm(Coefficient::ONE, (-0.5).into(), &gram, Op::Plain, &unit, Op::Plain)?;
//!         w.give(gram);
//!         w.give(unit);
//!         Ok(())
//!     }
//! }
//! # let _ = OneStep;
//! ```

mod clip;
mod data;
mod hard_clip;
mod normalized;
mod prenormalized;
mod second_moment;
mod separate;
mod soft_clip;
mod tail_shrink;
mod threshold;

pub use clip::Clip;
pub use data::{MomentOf, SpectralMap};
pub use hard_clip::{HardClip, HardClipMethod};
pub use normalized::Normalized;
pub use prenormalized::Prenormalized;
pub use second_moment::{Guard, SecondMoment, Slices};
pub use soft_clip::{AlphaBound, SoftClip, SoftClipMethod, VectorRule};
pub use tail_shrink::{RankRamp, Shaped, TailShrink, tail_shrink};
pub use threshold::Threshold;

use crate::backend::{Backend, Coefficient, Gradient, Matrix, Result};
use crate::linalg::{Polar, Workspace};
use crate::rules::Sharding;
use crate::state::{BufferSpec, State};
use alloc::{string::String, vec::Vec};
use core::fmt;

/// When a map is applied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Factor of a clip's threshold: `c_t = c clip_factor`.
    pub clip_factor: f64,
    /// The matrix's step, from 0.
    pub step: u64,
}

/// The update of a momentum by a gradient that a map may fuse into its own pass: `m = mu m + G`.
pub type MomentumUpdate<'a, M> = Option<(f64, &'a Gradient<'a, M>)>;

/// A mapped direction, in the cheapest form that says what it is.
#[derive(Debug)]
pub enum Mapped<B: Backend> {
    /// The direction itself.
    Unchanged,
    /// A multiple of the direction minus a low-rank matrix.
    Shaped(Shaped<B>),
    /// A matrix of its own, a temporary of the workspace.
    Dense(B::Matrix),
}

impl<B: Backend> Mapped<B> {
    /// `||O||_F^2` of the mapped `direction`.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn norm_squared(&self, direction: &B::Matrix) -> Result<B::Scalar> {
        match self {
            Self::Unchanged => direction.dot(direction),
            Self::Shaped(shaped) => Ok(shaped.norm_squared.clone()),
            Self::Dense(out) => out.dot(out),
        }
    }

    /// The mapped `direction` as a temporary of the workspace; `None` if it is the direction itself.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn into_dense(
        self,
        direction: &B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Option<B::Matrix>> {
        match self {
            Self::Unchanged => Ok(None),
            Self::Dense(out) => Ok(Some(out)),
            Self::Shaped(shaped) => {
                let mut out = workspace.take_like(direction, direction.shape().1)?;
                shaped.add_to(&mut out, Coefficient::ZERO, Coefficient::ONE, direction)?;
                shaped.release(workspace);
                Ok(Some(out))
            }
        }
    }
}

/// One of several directions that a map is given together.
#[derive(Debug)]
pub struct MapItem<'a, B: Backend> {
    /// The direction.
    pub direction: &'a mut B::Matrix,
    /// What it is updated by first.
    pub update: MomentumUpdate<'a, B::Matrix>,
    /// The buffers that the map keeps for it.
    pub state: &'a mut State<B::Matrix>,
    /// When.
    pub moment: Moment,
    /// Becomes the mapped direction.
    pub mapped: Option<Mapped<B>>,
}

/// What is done to the singular values of a direction.
pub trait MapRule<B: Backend>: fmt::Debug + Send + Sync {
    /// The name used in printed plans and saved states.
    fn name(&self) -> &'static str;

    /// What a saved state must agree on: the name, and those of the maps within.
    fn signature(&self) -> String {
        self.name().into()
    }

    /// Writes the mapped `direction` to `out`, of the same shape and with unspecified contents.
    ///
    /// # Errors
    /// Those of the backend.
    fn map(
        &self,
        direction: &B::Matrix,
        out: &mut B::Matrix,
        moment: &Moment,
        workspace: &mut Workspace<B>,
    ) -> Result<()>;

    /// The buffers that it keeps between steps, for a parameter of this shape.
    fn buffers(&self, shape: (usize, usize)) -> Vec<BufferSpec> {
        let _ = shape;
        Vec::new()
    }

    /// Flops for a direction of this shape, to leading order. Unless overridden those of five quintic steps of a
    /// [polar factor](Polar::MUON).
    fn flops(&self, shape: (usize, usize)) -> f64 {
        Polar::MUON.flops::<B::Element>(shape)
    }

    /// How it maps rows, or columns, of a direction of this shape; `None`: it takes the whole. Unless overridden the identity alone
    /// maps parts.
    fn sharding(&self, shape: (usize, usize)) -> Option<Sharding> {
        let _ = shape;
        self.is_identity().then_some(Sharding::Entrywise)
    }

    /// Whether it leaves every direction as it is: then none is formed.
    fn is_identity(&self) -> bool {
        false
    }

    /// Whether it asks for the same operations whatever the numbers are, reads none, and leaves its buffers their handles once they exist:
    /// then it works on [stacks](crate::backend::Stacking).
    fn is_uniform(&self) -> bool {
        false
    }

    /// An error if a setting is outside its domain.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the setting's name.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// An error unless this factor leaves a clip's threshold in its domain.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    fn check_clip_factor(&self, factor: f64) -> Result<()> {
        let _ = factor;
        Ok(())
    }

    /// The largest Frobenius norm of a direction of this shape that it maps without leaving the range of the element type. Maps
    /// that scale by the largest entry first take any.
    fn largest_norm(&self, shape: (usize, usize), host_knows_norms: bool) -> f64 {
        let _ = (shape, host_knows_norms);
        f64::INFINITY
    }

    /// What no singular value of the image exceeds but for rounding errors, if the map knows.
    fn largest_singular_value(&self, moment: &Moment) -> Option<f64> {
        let _ = moment;
        None
    }

    /// A saved buffer of another shape as the one that is wanted, or `None` if nothing can be made of it.
    ///
    /// # Errors
    /// Those of the backend.
    fn resize(&self, wanted: &BufferSpec, saved: &B::Matrix, backend: &B) -> Result<Option<B::Matrix>> {
        let _ = (wanted, saved, backend);
        Ok(None)
    }

    /// Maps `direction`, after `direction = mu direction + G` if `update` is given, with the buffers that it keeps. Unless
    /// overridden it keeps none and calls [`map`](Self::map).
    ///
    /// # Errors
    /// Those of the map.
    fn apply(
        &self,
        direction: &mut B::Matrix,
        update: MomentumUpdate<'_, B::Matrix>,
        state: &mut State<B::Matrix>,
        moment: &Moment,
        workspace: &mut Workspace<B>,
    ) -> Result<Mapped<B>> {
        let _ = state;
        if let Some((mu, gradient)) = update {
            direction.scale_add(mu.into(), gradient.scale, gradient.values)?;
        }
        if self.is_identity() {
            return Ok(Mapped::Unchanged);
        }
        let mut out = workspace.take_like(direction, direction.shape().1)?;
        self.map(direction, &mut out, moment, workspace)?;
        Ok(Mapped::Dense(out))
    }

    /// [`apply`](Self::apply) to several directions of whatever shapes; one after the other unless overridden.
    ///
    /// # Errors
    /// As there.
    fn apply_all(&self, all: &mut [MapItem<'_, B>], workspace: &mut Workspace<B>) -> Result<()> {
        for MapItem { direction, update, state, moment, mapped } in all {
            *mapped = Some(self.apply(direction, *update, state, moment, workspace)?);
        }
        Ok(())
    }

    /// Whether directions that are distributed over ranks gain by [`apply_all`](Self::apply_all), which packs their messages.
    fn gains_together(&self) -> bool {
        false
    }
}

/// The direction as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity;

impl<B: Backend> MapRule<B> for Identity {
    fn name(&self) -> &'static str {
        "identity"
    }

    fn is_identity(&self) -> bool {
        true
    }

    fn is_uniform(&self) -> bool {
        true
    }

    fn flops(&self, _: (usize, usize)) -> f64 {
        0.0
    }

    fn map(
        &self,
        direction: &B::Matrix,
        out: &mut B::Matrix,
        _: &Moment,
        _: &mut Workspace<B>,
    ) -> Result<()> {
        out.copy_from(direction)
    }
}

impl<B: Backend> MapRule<B> for Polar {
    fn name(&self) -> &'static str {
        "orthogonalize"
    }

    fn is_uniform(&self) -> bool {
        true
    }

    fn flops(&self, shape: (usize, usize)) -> f64 {
        Polar::flops::<B::Element>(self, shape)
    }

    fn validate(&self) -> Result<()> {
        Polar::validate(self)
    }

    fn map(
        &self,
        direction: &B::Matrix,
        out: &mut B::Matrix,
        _: &Moment,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        Polar::apply(self, direction, out, workspace).map(|_| ())
    }
}
