//! The golden data: inputs and results of the papers' algorithms and of the baselines' own programs.
//!
//! `golden/README.md` in the crate's folder says where each case comes from, how exact it is, and where papers
//! and programs differ.
//!
//! ```
//! use spectra_conformance::golden::Golden;
//!
//! let case = Golden::load("spectra_step_wide_r0.015_T1")?;
//! assert_eq!(case.hyper_count("k")?, 1);
//! assert_eq!(case.inputs().matrix("W0")?.shape(), (16, 32));
//! assert_eq!(case.tolerance()?, 1e-10);
//! # Ok::<(), spectra_conformance::golden::GoldenError>(())
//! ```

mod array;
mod baselines;
mod case;
mod error;
mod fields;
mod files;
mod frank_wolfe;
mod hyper;
mod maps;
pub(crate) mod peers;
mod replay;
mod tolerance;
mod wrapper;

pub use array::{Array, Values};
pub use baselines::replay_baseline;
pub use case::{Arrays, Golden};
pub use error::GoldenError;
pub use files::{DIRECTORY_VARIABLE, directory, names};
pub use frank_wolfe::replay_frank_wolfe;
pub use maps::replay_maps;
pub use replay::{Rule, replay};
pub use wrapper::replay_wrapper;
