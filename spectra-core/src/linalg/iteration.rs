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
    /// As [`Auto`](Self::Auto), but where the host knows norms without waiting for a device the polar factor measures whether smaller singular
    /// values than those reached are left, and stops where there are none: see [`Polar::to`](super::Polar::to).
    Measured {
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
            Self::Auto { tolerance } | Self::Measured { tolerance } => {
                domain::tolerance(operation, tolerance)
            }
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
            Self::Auto { tolerance } | Self::Measured { tolerance } => Ok(schedule.count(lower, tolerance)),
            Self::Exact => Ok(schedule.count(f64::EPSILON / 64.0, f64::EPSILON)),
        }
    }
}

/// How a map with a threshold was computed: chosen by what bounds of the spectrum say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// By nothing of these.
    #[default]
    Other,
    /// The directions above the threshold, one by one.
    Deflation,
    /// The sign of `X X^T - c^2 I`, where too many are above.
    Sign,
    /// Two polar factors, where `sigma_1 / c` is too large for squares.
    Polar,
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
    /// Of a map with a threshold: how it was computed.
    pub form: Form,
    /// Of a polar factor: singular values from this fraction of the first divisor on have the [accuracy](Self::accuracy); 0 where the residual
    /// proved it of all of them.
    pub covered_from: Option<f64>,
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
            form: if later.form == Form::Other { self.form } else { later.form },
            covered_from: None,
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
