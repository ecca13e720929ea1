//! The power iteration of [`spectra_core::linalg::PowerIteration`] on the backend.

mod convergence;
mod degenerate;
mod one_step;
mod support;

pub use convergence::{power_iteration_bootstrap, power_iteration_convergence, power_iteration_drift};
pub use degenerate::{power_iteration_deficient, power_iteration_deterministic, power_iteration_zero};
pub use one_step::{
    power_iteration_as_its_default, power_iteration_composes, power_iteration_exact, power_iteration_extreme,
    power_iteration_ill_conditioned, power_iteration_large, power_iteration_paper, power_iteration_update,
};
pub(crate) use support::{Difficulty, Iterated, compare_left_basis, difficulty, inputs_for, ranks};
