//! What the iterations of this folder have in common: how long they run and what they report.

use super::Schedule;
use crate::backend::{Element, Result, domain};

/// How many steps an iteration takes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Steps {
    /// Exactly so many, at most 100; nothing is read from the device.
    Fixed(usize),
    /// As many as bring the singular values known to lie in the interval to within `tolerance` of the result.
    Auto {
        /// Relative error, in (0, 1).
        tolerance: f64,
    },
    /// As many as the arithmetic type can make use of: from a 64th of its epsilon to within its epsilon, whatever lower bound is set.
    /// Singular values below that are noise.
    Exact,
}

impl Steps {
    /// An error, of `operation`, if the count or the tolerance is outside its domain.
    pub(crate) fn validate(self, operation: &'static str) -> Result<()> {
        match self {
            Self::Fixed(steps) => domain::iterations(operation, "steps", steps, 0),
            Self::Auto { tolerance } => domain::tolerance(operation, tolerance),
            Self::Exact => Ok(()),
        }
    }

    /// The count for values in `[lower, 1]`, and the error that the polynomials leave.
    ///
    /// # Errors
    /// A count, a tolerance or a setting of the schedule outside its domain.
    pub fn count(self, schedule: Schedule, lower: f64) -> Result<(usize, f64)> {
        self.validate("iteration")?;
        schedule.validate("iteration")?;
        match self {
            Self::Fixed(steps) => {
                let mut polynomials = schedule.polynomials(lower, steps);
                polynomials.by_ref().for_each(drop);
                Ok((steps, polynomials.error()))
            }
            Self::Auto { tolerance } => Ok(schedule.count(lower, tolerance)),
            Self::Exact => Ok(schedule.count(f64::EPSILON / 64.0, f64::EPSILON)),
        }
    }
}

/// What an iteration did.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Info {
    /// Polynomial steps, over all stages.
    pub steps: usize,
    /// Matrix products of full size, symmetric ones counted like others; products with a thin factor not.
    pub products: usize,
    /// Directions treated one by one (deflated).
    pub deflated: usize,
    /// An upper bound of the largest singular value of the input, if the host learned one.
    pub bound: Option<f64>,
    /// A proven upper bound, up to rounding errors of size `eps ||X||`, of the largest singular value that was left
    /// untreated, by the maps that leave any.
    pub certificate: Option<f64>,
    /// The relative error to expect, polynomials' and rounding's together; `None` where no lower bound of the
    /// spectrum is known.
    pub accuracy: Option<f64>,
}

impl Info {
    /// Two stages, one after the other: counts add, the larger error counts.
    #[must_use]
    pub(crate) fn and(self, later: Self) -> Self {
        let accuracy = match (self.accuracy, later.accuracy) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        Self {
            steps: self.steps + later.steps,
            products: self.products + later.products,
            deflated: self.deflated + later.deflated,
            bound: self.bound.or(later.bound),
            certificate: self.certificate.or(later.certificate),
            accuracy,
        }
    }
}

/// The power of two next to `x > 0`: scaling with it is exact.
pub(crate) fn power_of_two(x: f64) -> f64 {
    libm::exp2(libm::round(libm::log2(x)))
}

/// The smallest number whose inverse is still finite in E.
pub(crate) fn tiny<E: Element>() -> f64 {
    E::min_positive_value().widen() * 4.0
}
