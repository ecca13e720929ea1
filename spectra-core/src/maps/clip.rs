//! A clip together with its threshold: a map.

use super::{HardClip, MapRule, Moment, SoftClip, SoftClipMethod};
use crate::backend::{Backend, Matrix, Result, domain};
use crate::linalg::Workspace;

/// A [`SoftClip`] or [`HardClip`] at `c = threshold`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clip<C> {
    /// How it is computed.
    pub clip: C,
    /// c > 0, before and after the schedule's factor with a square that is in range: in `f32` from 1.1e-19 to 9.2e18.
    pub threshold: f64,
}

impl<C> Clip<C> {
    /// The clip at this threshold.
    pub fn new(clip: C, threshold: f64) -> Self {
        Self { clip, threshold }
    }

    fn check<B: Backend>(&self, name: &'static str, factor: f64) -> Result<()> {
        domain::square_normal::<B::Element>(name, "threshold", self.threshold * factor)
    }
}

impl<B: Backend> MapRule<B> for Clip<SoftClip> {
    fn name(&self) -> &'static str {
        "soft clip"
    }

    fn flops(&self, shape: (usize, usize)) -> f64 {
        self.clip.flops(shape)
    }

    /// With a fixed number of steps; [`Auto`](SoftClipMethod::Auto) reads the bound that it chooses by.
    fn is_uniform(&self) -> bool {
        matches!(self.clip.method, SoftClipMethod::Fixed { .. })
    }

    fn validate(&self) -> Result<()> {
        self.check::<B>(MapRule::<B>::name(self), 1.0)?;
        self.clip.validate()
    }

    fn check_clip_factor(&self, factor: f64) -> Result<()> {
        self.check::<B>(MapRule::<B>::name(self), factor)
    }

    fn largest_singular_value(&self, moment: &Moment) -> Option<f64> {
        Some(self.threshold * moment.clip_factor)
    }

    fn map(
        &self,
        direction: &B::Matrix,
        out: &mut B::Matrix,
        moment: &Moment,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        let (c, (rows, cols)) = (self.threshold * moment.clip_factor, direction.shape());
        if rows.min(cols) == 1 {
            self.clip.apply_vector(direction, c, out, workspace)?;
        } else {
            self.clip.apply(direction, c, out, workspace)?;
        }
        Ok(())
    }
}

impl<B: Backend> MapRule<B> for Clip<HardClip> {
    fn name(&self) -> &'static str {
        "hard clip"
    }

    fn flops(&self, shape: (usize, usize)) -> f64 {
        self.clip.flops::<B::Element>(shape)
    }

    fn validate(&self) -> Result<()> {
        self.check::<B>(MapRule::<B>::name(self), 1.0)?;
        self.clip.validate()
    }

    fn check_clip_factor(&self, factor: f64) -> Result<()> {
        self.check::<B>(MapRule::<B>::name(self), factor)
    }

    fn largest_singular_value(&self, moment: &Moment) -> Option<f64> {
        Some(self.threshold * moment.clip_factor * (1.0 + self.clip.slack))
    }

    fn map(
        &self,
        direction: &B::Matrix,
        out: &mut B::Matrix,
        moment: &Moment,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        self.clip.apply(direction, self.threshold * moment.clip_factor, out, workspace).map(|_| ())
    }
}
