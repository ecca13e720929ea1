//! Spectral optimizers for [burn](https://burn.dev): tail shrink, spectral clip, Muon and their peers, on any device.
//!
//! ```diff
//! -let mut optimizer = AdamWConfig::new().init();
//! +let mut optimizer = SpectralConfig::preset("spectra")?.init_for(&model)?;
//!  ...
//! -model = optimizer.step(lr, model, gradients);
//! +model = optimizer.step(lr, model, gradients)?;
//! ```
//!
//! * [`Hybrid`] (`init_for`) is the optimizer of a whole module: hidden matrices take the spectral rule, embeddings, heads,
//!   norms and vectors AdamW, as its printed [plan](Hybrid::plan) says. It checks gradients before anything changes,
//!   clips by the norm over the whole model, and loads nothing that does not fit.
//! * [`Spectral`] (`build`) is one rule as burn's [`Optimizer`](burn::optim::Optimizer), for burn's parameter groups;
//!   `init` makes burn's [`ModuleOptimizer`](burn::optim::ModuleOptimizer) of it, and [`Hybrid::optimizer`] that of a plan, for burn's
//!   learners.
//! * [`BurnBackend`] implements the traits of `spectra-core` on burn's tensors, for everything else that is written on them.
//!
//! **Orientation.** Burn's `Linear` stores `in x out`. Step scales and the side of tail shrink's subspace depend on which
//! side is which, so its weight is seen as the `out x in` matrix it is, without moving an entry.
//!
//! **Schedules.** The learning rate comes with every step, from burn's schedulers or ours; the clip threshold's schedule
//! ([`SpectralConfig::clip_threshold`]) follows the parameter's own count of steps, which is saved with its state.
//!
//! **Devices.** On burn's CPU device (`flex`) operations run on the tensors' memory. All others run burn's tensor
//! operations, which are tested on the CPU device; they have not been run, nor their speed measured, on a GPU.
#![forbid(unsafe_code)]

mod backend;
mod optimizer;

pub use backend::{BurnBackend, BurnElement, BurnMatrix, BurnScalar};
pub use optimizer::{Hybrid, Orientation, Refused, Spectral, SpectralConfig, SpectralState};

/// The code of the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
