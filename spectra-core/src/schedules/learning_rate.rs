//! The learning rate's factor at each update: constant, cosine, warm-up-stable-decay, one-cycle.

use super::decay::{DecayCurve, FinalDecay, check_factor};
use super::span::Span;
use crate::backend::require;
use crate::backend::{Error, Result};

const OPERATION: &str = "learning rate schedule";

/// A factor of the peak learning rate for each 0-based update index `t`.
///
/// With a linear warm-up over `W` updates from `initial_factor` `f_0`, the factor is `t / W + (1 - t / W) f_0` for `t < W`:
/// the first update has `f_0`, the peak comes at `t = W`. After it:
///
/// | schedule                                    | factor at `t >= W` in a run of `N` updates                                  |
/// |---------------------------------------------|-----------------------------------------------------------------------------|
/// | [`constant`](Self::constant)                | 1                                                                           |
/// | [`cosine`](Self::cosine)                    | cosine from 1 at `t = W` to `final_factor` at `t = N`                       |
/// | [`cosine_with_hold`](Self::cosine_with_hold)| the same, but over `H` updates sooner; then `final_factor`                  |
/// | [`wsd`](Self::wsd)                          | 1, then a [`FinalDecay`]                                                    |
/// | [`one_cycle`](Self::one_cycle)              | one curve up to the peak at `t = W - 1`, one down to `final_factor` at `N - 1`|
///
/// From `t = N` on, the factor is `final_factor`.
///
/// ```
/// use spectra_core::schedules::{DecayCurve, FinalDecay, LearningRateSchedule, Span};
///
/// let cosine = LearningRateSchedule::cosine(10_000, 0.1)?.with_warmup(Span::Steps(2000), 0.0)?;
/// assert_eq!(cosine.factor(1000), 0.5);
/// assert!((cosine.factor(6000) - 0.55).abs() < 1e-15);
///
/// let decay = FinalDecay { curve: DecayCurve::Linear, span: Span::Steps(100), final_factor: 0.0 };
/// let wsd = LearningRateSchedule::wsd(1000, decay)?;
/// assert_eq!(wsd.factor(900), 1.0);
/// assert_eq!(wsd.factor(950), 0.5);
///
/// let error = LearningRateSchedule::wsd(1000, decay)?.with_warmup(Span::Steps(950), 0.0).unwrap_err();
/// assert!(error.to_string().contains("decay steps = 100"));
/// # Ok::<(), spectra_core::backend::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Form", into = "Form"))]
pub struct LearningRateSchedule(Form);

/// The settings as they are saved, not yet checked.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Form {
    shape: Shape,
    warmup: Span,
    initial_factor: f64,
}

/// What comes after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
enum Shape {
    Constant,
    Cosine { total_steps: u64, hold: Span, final_factor: f64 },
    WarmupStableDecay { total_steps: u64, decay: FinalDecay },
    OneCycle { total_steps: u64, curve: DecayCurve, final_factor: f64 },
}

impl LearningRateSchedule {
    /// Factor 1 at every update, without an end.
    #[must_use]
    pub fn constant() -> Self {
        Self(Form { shape: Shape::Constant, warmup: Span::Steps(0), initial_factor: 0.0 })
    }

    /// Half a cosine wave from 1 down to `final_factor` over a run of `total_steps`.
    ///
    /// # Errors
    /// `total_steps` of 0; a `final_factor` that is not from 0 to 1.
    pub fn cosine(total_steps: u64, final_factor: f64) -> Result<Self> {
        Self::cosine_with_hold(total_steps, Span::Steps(0), final_factor)
    }

    /// A cosine that arrives `hold` before the end of the run and stays at `final_factor`.
    ///
    /// The program of arXiv 2603.14315 calls it `cos_inf` and derives its final factor as
    /// `initial_factor / final_div_factor`: a `final_div_factor` of 0.1 there ends *above* the initial factor.
    /// Here the final factor is the one given.
    ///
    /// # Errors
    /// As [`cosine`](Self::cosine); a `hold` longer than the run.
    pub fn cosine_with_hold(total_steps: u64, hold: Span, final_factor: f64) -> Result<Self> {
        Self::with_shape(Shape::Cosine { total_steps, hold, final_factor })
    }

    /// Warm-up, stable, decay: factor 1 until `decay` begins.
    ///
    /// # Errors
    /// `total_steps` of 0; a decay longer than the run; a final factor that is not from 0 to 1.
    pub fn wsd(total_steps: u64, decay: FinalDecay) -> Result<Self> {
        Self::with_shape(Shape::WarmupStableDecay { total_steps, decay })
    }

    /// PyTorch's `OneCycleLR` without its third phase: `curve` up to the peak, `curve` down to `final_factor`.
    ///
    /// PyTorch offers the cosine and the linear curve. Two things differ from [`cosine`](Self::cosine): the warm-up follows
    /// the curve too, and peak and final factor come one update earlier, at `t = W - 1` and `t = N - 1` (a warm-up of 0 or 1
    /// updates starts at the peak). The program of arXiv 2603.14315 means this one by its `cos`, with the cosine curve,
    /// `final_factor` 0.01 and a warm-up from 0.01.
    ///
    /// # Errors
    /// `total_steps` of 0; a `final_factor` that is not from 0 to 1.
    pub fn one_cycle(total_steps: u64, curve: DecayCurve, final_factor: f64) -> Result<Self> {
        Self::with_shape(Shape::OneCycle { total_steps, curve, final_factor })
    }

    /// The same schedule after a warm-up over `span`, from `initial_factor` at the first update.
    ///
    /// An `initial_factor` of 0 spends the first update on a learning rate of zero; the program of arXiv 2603.14315
    /// starts at 0.01.
    ///
    /// # Errors
    /// An `initial_factor` that is not from 0 to 1 (or 0 on a one-cycle's exponential curve, which cannot leave it); a warm-up longer than the run,
    /// or than what decay or hold leave of it; a fraction of a constant schedule, which has no end.
    pub fn with_warmup(self, span: Span, initial_factor: f64) -> Result<Self> {
        Form { warmup: span, initial_factor, ..self.0 }.checked()
    }

    /// The factor at 0-based update index `step`, in `[0, 1]` up to rounding.
    #[must_use]
    pub fn factor(&self, step: u64) -> f64 {
        let warmup = self.warmup_steps();
        if let Shape::OneCycle { total_steps, curve, final_factor } = self.0.shape {
            return self.one_cycle_factor(step, total_steps, curve, final_factor);
        }
        if step < warmup {
            let progress = step as f64 / warmup as f64;
            return DecayCurve::Linear.between(self.0.initial_factor, 1.0, progress);
        }
        match self.0.shape {
            Shape::Cosine { total_steps, hold, final_factor } => {
                let end = total_steps.saturating_sub(hold.steps_of(total_steps));
                let progress = progress(step, warmup, end);
                DecayCurve::Cosine.between(1.0, final_factor, progress)
            }
            Shape::WarmupStableDecay { total_steps, decay } => decay.factor(step, total_steps),
            Shape::Constant | Shape::OneCycle { .. } => 1.0,
        }
    }

    /// The updates of the warm-up, `W`.
    #[must_use]
    pub fn warmup_steps(&self) -> u64 {
        self.0.warmup.steps_of(self.total_steps().unwrap_or(0))
    }

    /// The updates of the run, `N`; `None` for a constant schedule.
    #[must_use]
    pub fn total_steps(&self) -> Option<u64> {
        match self.0.shape {
            Shape::Constant => None,
            Shape::Cosine { total_steps, .. }
            | Shape::WarmupStableDecay { total_steps, .. }
            | Shape::OneCycle { total_steps, .. } => Some(total_steps),
        }
    }

    fn with_shape(shape: Shape) -> Result<Self> {
        Form { shape, ..Self::constant().0 }.checked()
    }

    fn one_cycle_factor(&self, step: u64, total: u64, curve: DecayCurve, last: f64) -> f64 {
        let peak = self.warmup_steps().saturating_sub(1);
        if step < peak {
            curve.between(self.0.initial_factor, 1.0, step as f64 / peak as f64)
        } else if step == peak {
            1.0
        } else {
            curve.between(1.0, last, progress(step, peak, total.saturating_sub(1)))
        }
    }
}

/// How far `step` is on the way from `begin` to `end`, at most 1.
fn progress(step: u64, begin: u64, end: u64) -> f64 {
    if step >= end {
        return 1.0;
    }
    step.saturating_sub(begin) as f64 / (end - begin) as f64
}

impl Form {
    fn checked(self) -> Result<LearningRateSchedule> {
        let schedule = LearningRateSchedule(self);
        check_factor(OPERATION, "initial factor", self.initial_factor)?;
        let Some(total) = schedule.total_steps() else {
            return match self.warmup {
                Span::Steps(_) => Ok(schedule),
                Span::Fraction(fraction) => {
                    let requirement = "a number of steps: a constant schedule has no end";
                    Err(Error::argument(OPERATION, "warm-up fraction", fraction, requirement))
                }
            };
        };
        require(total > 0, OPERATION, "total steps", 0.0, "at least 1")?;
        self.warmup.check(OPERATION, "warm-up steps", total, total)?;
        let warmup = schedule.warmup_steps();
        match self.shape {
            Shape::Constant => {}
            Shape::Cosine { hold, final_factor, .. } => {
                check_factor(OPERATION, "final factor", final_factor)?;
                hold.check(OPERATION, "hold steps", total, total.saturating_sub(warmup))?;
            }
            Shape::WarmupStableDecay { decay, .. } => decay.check(OPERATION, total, warmup)?,
            Shape::OneCycle { curve, final_factor, .. } => {
                check_factor(OPERATION, "final factor", final_factor)?;
                if warmup > 1 {
                    let requirement = "above 0 on an exponential curve, which cannot leave 0";
                    curve.check_above_zero(OPERATION, "initial factor", self.initial_factor, requirement)?;
                }
            }
        }
        Ok(schedule)
    }
}

impl TryFrom<Form> for LearningRateSchedule {
    type Error = Error;

    fn try_from(form: Form) -> Result<Self> {
        form.checked()
    }
}

impl From<LearningRateSchedule> for Form {
    fn from(schedule: LearningRateSchedule) -> Self {
        schedule.0
    }
}

#[cfg(test)]
mod tests;
