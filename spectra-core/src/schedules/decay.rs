//! The decay curves, shared by the learning rate and the clip threshold.

use core::f64::consts::FRAC_PI_2;
use core::fmt;
use core::str::FromStr;

use super::span::Span;
use crate::backend::require;
use crate::backend::{Error, ErrorKind, Result};

/// How a factor falls from a start to an end while the progress `x` goes from 0 to 1.
///
/// | curve        | value between start `a` and end `b`                   |
/// |--------------|-------------------------------------------------------|
/// | linear       | `b + (a - b) (1 - x)`                                 |
/// | sqrt         | `b + (a - b) (1 - sqrt(x))`                           |
/// | cosine       | `b + (a - b) (1 + cos(pi x)) / 2`                     |
/// | square       | `b + (a - b) (1 - x^2)`                               |
/// | mirror cosine| twice the linear value less the cosine value          |
/// | exponential  | `a (b / a)^x`                                         |
///
/// Source: the decay types of arXiv 2603.14315's program, which has them from arXiv 2405.18392.
///
/// ```
/// use spectra_core::schedules::DecayCurve;
///
/// let curve: DecayCurve = "sqrt".parse()?;
/// assert_eq!(curve.between(1.0, 0.0, 0.25), 0.5);
/// # Ok::<(), spectra_core::backend::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum DecayCurve {
    /// A straight line.
    Linear,
    /// Steep at first, then flattening: the second paper's choice for WSD.
    Sqrt,
    /// Half a cosine wave.
    Cosine,
    /// The same ratio at every update; towards 0 it is there at the second.
    Exponential,
    /// Slow at first, then steep.
    Square,
    /// The cosine mirrored at the straight line: steep at both ends, flat between.
    MirrorCosine,
}

impl DecayCurve {
    /// Every curve, in the order of the table above.
    pub const ALL: [DecayCurve; 6] = [
        DecayCurve::Linear,
        DecayCurve::Sqrt,
        DecayCurve::Cosine,
        DecayCurve::Square,
        DecayCurve::MirrorCosine,
        DecayCurve::Exponential,
    ];

    /// The name that [`FromStr`] reads back.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DecayCurve::Linear => "linear",
            DecayCurve::Sqrt => "sqrt",
            DecayCurve::Cosine => "cosine",
            DecayCurve::Exponential => "exponential",
            DecayCurve::Square => "square",
            DecayCurve::MirrorCosine => "mirror-cosine",
        }
    }

    /// The value at `progress` (from 0 to 1) on the way from `start` to `end`; `start` itself at 0, `end` at 1 (up to
    /// rounding on the cosines and the exponential).
    ///
    /// An exponential towards 0 is `0^x`: `start` at `x = 0` and exactly 0 from then on. One from 0 does not exist: it is NaN,
    /// and the schedules refuse it.
    #[must_use]
    pub fn between(self, start: f64, end: f64, progress: f64) -> f64 {
        match self.remaining(progress) {
            Some(remaining) => start * remaining + end * (1.0 - remaining),
            None => start * libm::pow(end / start, progress),
        }
    }

    /// The part of the way that is still ahead at progress `x`; `None` for the exponential, whose steps are ratios.
    fn remaining(self, x: f64) -> Option<f64> {
        // (1 + cos(pi x)) / 2 = cos(pi x / 2)^2, without the cancellation near x = 1.
        let cosine = || {
            let c = libm::cos(FRAC_PI_2 * x);
            c * c
        };
        match self {
            DecayCurve::Linear => Some(1.0 - x),
            DecayCurve::Sqrt => Some(1.0 - libm::sqrt(x)),
            DecayCurve::Cosine => Some(cosine()),
            DecayCurve::Square => Some(1.0 - x * x),
            DecayCurve::MirrorCosine => Some(2.0 * (1.0 - x) - cosine()),
            DecayCurve::Exponential => None,
        }
    }

    /// Refuses an end of an exponential curve that is 0, for the reason given.
    pub(crate) fn check_above_zero(
        self,
        operation: &'static str,
        name: &'static str,
        end: f64,
        requirement: &'static str,
    ) -> Result<()> {
        require(self != DecayCurve::Exponential || end > 0.0, operation, name, end, requirement)
    }
}

/// Refuses a factor of a schedule that is not from 0 to 1.
pub(crate) fn check_factor(operation: &'static str, name: &'static str, factor: f64) -> Result<()> {
    require((0.0..=1.0).contains(&factor), operation, name, factor, "from 0 to 1")
}

impl fmt::Display for DecayCurve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for DecayCurve {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        DecayCurve::ALL.into_iter().find(|curve| curve.name() == name).ok_or_else(|| {
            let reason = "is no decay curve: linear, sqrt, cosine, square, mirror-cosine, exponential";
            Error::new("decay curve", ErrorKind::Name { name: name.into(), reason })
        })
    }
}

/// The final phase of a run, in which a factor falls from 1 to `final_factor`.
///
/// With `D` updates of decay in a run of `N`, the progress at update `t` is `x = (t - (N - D)) / D`: the first update of
/// the phase still has factor 1, and `final_factor` would come at `t = N`, one after the last. So a decay to zero spends no
/// update on a learning rate of zero. This is also what the program of arXiv 2603.14315 does.
///
/// The fields are checked by whatever takes the phase: [`LearningRateSchedule::wsd`](super::LearningRateSchedule::wsd),
/// [`ClipSchedule::with_decay`](super::ClipSchedule::with_decay).
///
/// **An exponential to 0** is `0^x`: a factor of 1 at the phase's first update, and exactly 0 from the second on, however long
/// the phase is. The program of arXiv 2603.14315 has it so for the learning rate. A clip threshold, which must stay above 0,
/// refuses it; that program takes the linear curve in its stead there, without a word.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FinalDecay {
    /// The curve.
    pub curve: DecayCurve,
    /// How long the phase is.
    pub span: Span,
    /// What the factor falls to, in `[0, 1]`.
    pub final_factor: f64,
}

impl Default for FinalDecay {
    /// The second paper's: square root, over the last fifth, to zero (arXiv 2603.14315, appendix F).
    fn default() -> Self {
        Self { curve: DecayCurve::Sqrt, span: Span::Fraction(0.2), final_factor: 0.0 }
    }
}

impl FinalDecay {
    /// Refuses a phase that does not fit behind `warmup_steps` in a run of `total_steps`.
    pub(crate) fn check(&self, operation: &'static str, total_steps: u64, warmup_steps: u64) -> Result<()> {
        check_factor(operation, "final factor", self.final_factor)?;
        let available = total_steps.saturating_sub(warmup_steps);
        self.span.check(operation, "decay steps", total_steps, available)
    }

    /// 1 before the phase, the curve in it, `final_factor` from `total_steps` on.
    pub(crate) fn factor(&self, step: u64, total_steps: u64) -> f64 {
        let length = self.span.steps_of(total_steps);
        let begin = total_steps.saturating_sub(length);
        if step >= total_steps {
            self.final_factor
        } else if step < begin {
            1.0
        } else {
            // Here total_steps > step >= begin, so the length is not 0.
            let progress = (step - begin) as f64 / length as f64;
            self.curve.between(1.0, self.final_factor, progress)
        }
    }
}

#[cfg(test)]
mod tests;
