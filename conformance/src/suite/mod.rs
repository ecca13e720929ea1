//! The frame: what a check is given, what it answers, and how all of them are run on a backend.

mod check;
mod coefficients;
#[doc(hidden)]
pub mod detect;
mod failure;
mod judge;
mod point;
mod registry;
mod report;
mod subject;
mod tests_macro;

pub use check::{Check, Outcome};
pub use coefficients::Weights;
pub use failure::Failure;
pub use judge::{Judge, Measured};
pub use point::Point;
pub use registry::checks;
pub(crate) use report::run_chosen;
pub use report::{Entry, Report, Status, minimum_executed, run, run_observed};
pub use subject::{SecondHandle, Subject};
#[doc(hidden)]
pub use tests_macro::{assert_passes, assert_skips_are_checks};
