//! Conformance suite for `spectra` backends.
//!
//! Whoever implements [`spectra_core`]'s backend traits for a new framework learns from this crate how exact
//! that backend is: every operation and every algorithm is compared with the exact singular value decomposition
//! in double precision, and with trajectories of the papers' own programs.
//!
//! | module | what it holds |
//! |---|---|
//! | [`golden`] | the papers' and the baselines' results, committed with the crate |
//! | [`oracle`] | exact results in double precision, each decomposition checked before it is used |
//! | [`inputs`] | the matrices a numerical analyst would choose, seeded and named |
//! | [`tolerance`] | every tolerance, with its derivation |
//! | [`distance`] | how a computed result is compared with the exact one |
#![forbid(unsafe_code)]

pub mod distance;
pub mod golden;
mod host_matrix;
pub mod inputs;
pub mod oracle;
mod precision;
pub mod tolerance;

pub use host_matrix::HostMatrix;
pub use precision::Precision;
