//! The threshold `c_t` of a spectral clip at each update (arXiv 2603.14315, section 5.2).

use super::decay::FinalDecay;
use super::learning_rate::LearningRateSchedule;
use crate::backend::{Error, Result, domain, require};

const OPERATION: &str = "clip threshold";

/// The smallest learning-rate factor that the warm-up divides by: at 1e-3 the floor of 1e-10 that the program of
/// arXiv 2603.14315 puts under the learning rate itself.
const SMALLEST_FACTOR: f64 = 1e-7;

/// The threshold of a spectral clip for each 0-based update index `t`.
///
/// An update clipped at `c_t` changes the weights by at most `lr_t c_t` in spectral norm (times the step scale). While the
/// learning rate warms up, a fixed `c` would make that bound tiny, so the bound is what stays fixed:
///
/// ```text
/// c_t = c lr_max / lr_t                   in the warm-up
/// c_t = c                                 after it
/// c_t = c d_t,  d_t from 1 to d_final     in the final phase, where one was asked for
/// ```
///
/// `lr_t / lr_max` is the factor of a [`LearningRateSchedule`], of which the threshold keeps a copy; a factor below 1e-7
/// counts as 1e-7, so that a warm-up from 0 begins with a finite threshold. The decay may follow another curve than the
/// learning rate's. From the end of the run on, the threshold stays at the last update's: it is above 0 at every `t`.
///
/// ```
/// use spectra_core::schedules::{ClipThreshold, FinalDecay, LearningRateSchedule, Span};
///
/// let schedule = LearningRateSchedule::wsd(100, FinalDecay::default())?.with_warmup(Span::Steps(10), 0.01)?;
/// let threshold = ClipThreshold::new(10.0, schedule)?.with_decay(FinalDecay::default())?;
/// assert_eq!(threshold.at(0), 1000.0);
/// assert_eq!(threshold.at(50), 10.0);
/// assert_eq!(threshold.at(85), 5.0);
/// # Ok::<(), spectra_core::backend::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Form", into = "Form"))]
pub struct ClipThreshold(Form);

/// The settings as they are saved, not yet checked.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Form {
    threshold: f64,
    schedule: LearningRateSchedule,
    follows_warmup: bool,
    decay: Option<FinalDecay>,
}

impl ClipThreshold {
    /// `c = threshold`, raised while `schedule` warms up. The paper's default is 10.
    ///
    /// # Errors
    /// A `threshold` that is not positive and finite, or whose square is not.
    pub fn new(threshold: f64, schedule: LearningRateSchedule) -> Result<Self> {
        Form { threshold, schedule, follows_warmup: true, decay: None }.checked()
    }

    /// `c` at every update, whatever the learning rate does.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn constant(threshold: f64) -> Result<Self> {
        Self::new(threshold, LearningRateSchedule::constant())
    }

    /// The same threshold, not raised in the warm-up.
    #[must_use]
    pub fn without_warmup(self) -> Self {
        Self(Form { follows_warmup: false, ..self.0 })
    }

    /// The same threshold with a decay at the end of the schedule's run.
    ///
    /// A decay to a small threshold leaves a clip with large singular values over `c`: let its iteration count follow
    /// from the bound, as ten fixed steps are then too few.
    ///
    /// # Errors
    /// A schedule without an end; a decay that does not fit behind the warm-up; a final factor that is not from 0 to 1, or 0
    /// on an exponential curve, whose threshold would be 0 (see [`FinalDecay`]).
    pub fn with_decay(self, decay: FinalDecay) -> Result<Self> {
        Form { decay: Some(decay), ..self.0 }.checked()
    }

    /// `c_t` at 0-based update index `step`: positive and finite.
    #[must_use]
    pub fn at(&self, step: u64) -> f64 {
        self.0.threshold * self.factor(step)
    }

    /// `c_t / c` at 0-based update index `step`, as
    /// [`Optimizer::set_clip_factor`](crate::optimizer::Optimizer::set_clip_factor) takes it.
    #[must_use]
    pub fn factor(&self, step: u64) -> f64 {
        let Form { schedule, follows_warmup, decay, .. } = self.0;
        if follows_warmup && step < schedule.warmup_steps() {
            return 1.0 / schedule.factor(step).max(SMALLEST_FACTOR);
        }
        match (decay, schedule.total_steps()) {
            (Some(decay), Some(total)) => decay.factor(step.min(total.saturating_sub(1)), total),
            _ => 1.0,
        }
    }
}

impl Form {
    fn checked(self) -> Result<ClipThreshold> {
        // The largest c_t is c / 1e-7. Optimizers check c_t in their own arithmetic type.
        domain::square_normal::<f64>(OPERATION, "threshold", self.threshold)?;
        if let Some(decay) = self.decay {
            let Some(total) = self.schedule.total_steps() else {
                let requirement = "finite: a decay needs a learning rate schedule with an end";
                return Err(Error::argument(OPERATION, "total steps", f64::INFINITY, requirement));
            };
            decay.check(OPERATION, total, self.schedule.warmup_steps())?;
            let requirement =
                "above 0 on an exponential curve: the threshold would be 0 from its second update on";
            decay.curve.check_above_zero(OPERATION, "final factor", decay.final_factor, requirement)?;
            let last = ClipThreshold(self).at(total);
            require(last > 0.0, OPERATION, "last threshold", last, "above 0")?;
        }
        Ok(ClipThreshold(self))
    }
}

impl TryFrom<Form> for ClipThreshold {
    type Error = Error;

    fn try_from(form: Form) -> Result<Self> {
        form.checked()
    }
}

impl From<ClipThreshold> for Form {
    fn from(threshold: ClipThreshold) -> Self {
        threshold.0
    }
}

#[cfg(test)]
mod tests;
