//! The factor `c_t / c` of a spectral clip's threshold at each update (arXiv 2603.14315, section 5.2).

use super::decay::FinalDecay;
use super::learning_rate::LearningRateSchedule;
use crate::backend::{Error, Result, require};

const OPERATION: &str = "clip schedule";

/// The smallest learning-rate factor that the warm-up divides by: at 1e-3 the floor of 1e-10 that the program of
/// arXiv 2603.14315 puts under the learning rate itself.
const SMALLEST_FACTOR: f64 = 1e-7;

/// The factor of a spectral clip's threshold for each 0-based update index `t`; the threshold `c` itself is the map's.
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
/// `lr_t / lr_max` is the factor of a [`LearningRateSchedule`], of which this keeps a copy; a factor below 1e-7
/// counts as 1e-7, so that a warm-up from 0 begins with a finite threshold. The decay may follow another curve than the
/// learning rate's. From the end of the run on, the threshold stays at the last update's: it is above 0 at every `t`.
///
/// ```
/// use spectra_core::schedules::{ClipSchedule, FinalDecay, LearningRateSchedule, Span};
///
/// let schedule = LearningRateSchedule::wsd(100, FinalDecay::default())?.with_warmup(Span::Steps(10), 0.01)?;
/// let clip = ClipSchedule::new(schedule).with_decay(FinalDecay::default())?;
/// assert_eq!(clip.factor(0), 100.0);
/// assert_eq!(clip.factor(50), 1.0);
/// assert_eq!(clip.factor(85), 0.5);
/// # Ok::<(), spectra_core::backend::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Form", into = "Form"))]
pub struct ClipSchedule(Form);

/// The settings as they are saved, not yet checked.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Form {
    schedule: LearningRateSchedule,
    follows_warmup: bool,
    decay: Option<FinalDecay>,
}

impl ClipSchedule {
    /// Raised while `schedule` warms up.
    pub fn new(schedule: LearningRateSchedule) -> Self {
        Self(Form { schedule, follows_warmup: true, decay: None })
    }

    /// 1 at every update, whatever the learning rate does.
    pub fn constant() -> Self {
        Self::new(LearningRateSchedule::constant())
    }

    /// The same factors, not raised in the warm-up.
    #[must_use]
    pub fn without_warmup(self) -> Self {
        Self(Form { follows_warmup: false, ..self.0 })
    }

    /// The same factors with a decay at the end of the schedule's run.
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

    /// `c_t / c` at 0-based update index `step`, positive and finite, as
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
    fn checked(self) -> Result<ClipSchedule> {
        // Optimizers check c_t in their own arithmetic type.
        if let Some(decay) = self.decay {
            let Some(total) = self.schedule.total_steps() else {
                let requirement = "finite: a decay needs a learning rate schedule with an end";
                return Err(Error::argument(OPERATION, "total steps", f64::INFINITY, requirement));
            };
            decay.check(OPERATION, total, self.schedule.warmup_steps())?;
            let requirement =
                "above 0 on an exponential curve: the threshold would be 0 from its second update on";
            decay.curve.check_above_zero(OPERATION, "final factor", decay.final_factor, requirement)?;
            let last = ClipSchedule(self).factor(total);
            require(last > 0.0, OPERATION, "last factor", last, "above 0")?;
        }
        Ok(ClipSchedule(self))
    }
}

impl TryFrom<Form> for ClipSchedule {
    type Error = Error;

    fn try_from(form: Form) -> Result<Self> {
        form.checked()
    }
}

impl From<ClipSchedule> for Form {
    fn from(schedule: ClipSchedule) -> Self {
        schedule.0
    }
}

#[cfg(test)]
mod tests;
