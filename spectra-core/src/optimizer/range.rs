//! How large a gradient a recipe takes.

use super::plan::Rule;
use super::{Config, Recipe, StepScale};
use crate::backend::{Element, Error, ErrorKind, Matrix, Result, Scalar};

/// Up to here a finite gradient gives a finite state and step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GradientLimits {
    /// The largest magnitude of an entry.
    pub entry: f64,
    /// The largest Frobenius norm.
    pub norm: f64,
}

/// What a backend makes of [`Matrix::dot`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dots {
    /// The host [knows](Scalar::known) the numbers.
    pub known: bool,
    /// [`Matrix::has_wide_dot`].
    pub wide: bool,
}

impl Recipe {
    /// The limits for an m x n parameter in `E`, if they were kept at every step.
    pub fn gradient_limits<E: Element>(&self, shape: (usize, usize), dots: Dots) -> GradientLimits {
        let entry = self.direction.largest_gradient::<E>();
        let Some(growth) = self.direction.growth() else {
            return GradientLimits { entry, norm: f64::INFINITY };
        };
        let mapped = self.map.largest_norm::<E>(shape, dots.known);
        let scaled = match self.scale {
            // By the square of a norm, with half of the range left.
            StepScale::MatchRms { .. } if dots.wide => libm::sqrt(f64::MAX / 2.0),
            StepScale::MatchRms { .. } => libm::sqrt(E::max_value().widen() / 2.0),
            StepScale::One | StepScale::AspectRatio | StepScale::MaxDimension { .. } => f64::INFINITY,
        };
        GradientLimits { entry, norm: mapped.min(scaled) / growth }
    }

    /// An error if the gradient, times `scale` if there is one, is too large for the recipe. Looks at its entries, and
    /// **waits** for the device, only if `bound`, an upper bound of its Frobenius norm, does not exclude that.
    ///
    /// # Errors
    /// [`ErrorKind::Range`], and [`ErrorKind::NonFinite`] if the look finds a NaN or an infinity.
    pub fn check_gradient<M: Matrix>(
        &self,
        gradient: &M,
        scale: Option<&M::Scalar>,
        bound: f64,
    ) -> Result<()> {
        let (rows, cols) = gradient.shape();
        let strict = self.gradient_limits::<M::Element>((rows, cols), Dots { known: false, wide: false });
        if bound <= strict.entry.min(strict.norm) {
            return Ok(());
        }
        let largest = gradient.max_abs()?;
        let dots = Dots { known: largest.known().is_some(), wide: gradient.has_wide_dot() };
        let limits = self.gradient_limits::<M::Element>((rows, cols), dots);
        let largest = largest.read()? * scale.map_or(Ok(1.0), Scalar::read)?;
        if !largest.is_finite() {
            return Err(non_finite());
        }
        let norm = bound.min(largest * libm::sqrt(rows as f64 * cols as f64));
        let refuse = |what, value, limit| Err(Error::new("prepare", ErrorKind::Range { what, value, limit }));
        if largest > limits.entry {
            return refuse("the largest entry of the gradient", largest, limits.entry);
        }
        if norm > limits.norm {
            return refuse("the norm of the gradient", norm, limits.norm);
        }
        Ok(())
    }
}

impl Config {
    /// An upper bound of the Frobenius norm of a parameter's gradient after the clips, from the norm of all gradients before
    /// them (infinity if it is not known). `rank`: the smaller extent of the parameter.
    pub fn gradient_bound(&self, rule: Rule, rank: usize, pre_clip_factor: f64, norm: f64) -> f64 {
        let pre_clip = self.pre_clip.filter(|clip| clip.concerns(rule));
        let pre_clipped = pre_clip.map_or(f64::INFINITY, |clip| clip.largest_norm(rank, pre_clip_factor));
        norm.min(pre_clipped).min(self.clip_norm.unwrap_or(f64::INFINITY))
    }
}

/// The error of a gradient with a NaN or an infinity.
pub(super) fn non_finite() -> Error {
    Error::new("prepare", ErrorKind::NonFinite { what: "gradient" })
}
