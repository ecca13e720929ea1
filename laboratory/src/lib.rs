//! The experiments of spectra: the papers' claims, a fair comparison of optimizers, ablations. Not published.
//!
//! An [`Experiment`] names its runs; [`run`] makes those that are missing from its file of [`Results`], each in a process of its own
//! that can be killed and goes on from its last checkpoint.

mod comparison;
pub mod diagnosis;
mod digits;
mod experiment;
mod grid;
pub mod instruments;
mod outcome;
mod overall;
pub mod report;
mod row;
mod runner;
pub mod space;
pub mod statistics;
mod train;
mod trial;

pub use comparison::{Comparison, Contestant};
pub use digits::digits;
pub use experiment::{Experiment, all, file};
pub use grid::Grid;
pub use outcome::Outcome;
pub use row::{Results, Row};
pub use runner::{Manner, execute, run};
pub use train::language_model;
pub use trial::Trial;

use overall::Overall;
