//! Conformance suite for `spectra` backends.
//!
//! Whoever implements [`spectra_core`]'s backend traits for a new framework learns from this crate how exact
//! that backend is: every operation and every algorithm is compared with the exact singular value decomposition
//! in double precision, and with recorded runs (`conformance/golden` says of which programs).
//!
//! New here? [`implementing`] walks through a complete backend.
//!
//! One line in a test file runs all of it: see [`suite!`]. [`suite::run`] does the same as a function and returns a
//! report.
//!
//! | module | what it holds |
//! |---|---|
//! | [`suite`](mod@suite) | the frame: what a check is given and answers, the list of all checks, the report |
//! | [`checks`] | the checks, in groups |
//! | [`golden`] | the papers' and the baselines' results, committed with the crate |
//! | [`oracle`] | exact results in double precision, each decomposition checked before it is used |
//! | [`inputs`] | the matrices a numerical analyst would choose, seeded and named |
//! | [`tolerance`] | every tolerance, with its derivation |
//! | [`distance`] | how a computed result is compared with the exact one |
//! | [`ranks`] | the check of a transport, which connects ranks |
//! | `report` | a program that runs the suite and draws the outcome |
//!
//! # Features
//!
//! `cli` (default): the program `spectra-conformance` and the module `report`; in a dev-dependency for [`suite!`] alone,
//! `default-features = false` leaves its dependencies out. `candle`, `ndarray`: backends for the program.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod checks;
pub mod distance;
pub mod golden;
mod host_matrix;
pub mod implementing;
pub mod inputs;
pub mod oracle;
mod precision;
pub mod ranks;
#[cfg(feature = "cli")]
pub mod report;
mod required_only;
pub mod suite;
pub mod tolerance;

pub use host_matrix::HostMatrix;
pub use precision::Precision;
pub use required_only::{RequiredOnly, RequiredOnlyMatrix};
#[doc(hidden)]
pub use spectra_core::backend;
