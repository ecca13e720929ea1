//! Schedules: how the learning rate and the clip threshold move over a run.
//!
//! A [`LearningRateSchedule`] answers with a *factor* of the peak learning rate at a 0-based update index `t`
//! (`t = 0` is the first update), a [`ClipSchedule`] with the factor `c_t / c` of a spectral clip's threshold at the same index.
//! Both are small `Copy` values that depend on nothing but `t`: resuming a run needs the step number alone.
//!
//! ```
//! use spectra_core::schedules::{ClipSchedule, FinalDecay, LearningRateSchedule, Span};
//!
//! // 1000 updates: linear warm-up over 100 from 1/100 of the peak, then a square-root decay to zero over the last fifth.
//! let schedule = LearningRateSchedule::wsd(1000, FinalDecay::default())?.with_warmup(Span::Steps(100), 0.01)?;
//! let peak = 1e-3;
//! assert_eq!(peak * schedule.factor(0), 1e-5);
//! assert_eq!(peak * schedule.factor(100), 1e-3);
//!
//! // While the learning rate warms up, c_t * lr_t stays at c * peak.
//! let clip = ClipSchedule::new(schedule);
//! assert_eq!(clip.factor(0), 100.0);
//! assert_eq!(clip.factor(100), 1.0);
//! # Ok::<(), spectra_core::backend::Error>(())
//! ```
//!
//! With the `serde` feature every type here can be saved; what is read back passes the same checks as a constructor's
//! arguments, so a schedule that exists is a valid one.

pub mod clip_schedule;
pub mod decay;
pub mod learning_rate;
pub mod span;

pub use clip_schedule::ClipSchedule;
pub use decay::{DecayCurve, FinalDecay};
pub use learning_rate::LearningRateSchedule;
pub use span::Span;
