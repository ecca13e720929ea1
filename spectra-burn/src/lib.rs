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
//!   learners. What [`Hybrid::step`] returns as an error ends a run there, by a panic.
//! * [`BurnBackend`] implements the traits of `spectra-core` on burn's tensors, for everything else that is written on them.
//!
//! Every setting is a method of [`Settings`], reached by [`SpectralConfig::with_settings`].
//!
//! **Groups and rules of one's own.** A plan's [groups](plan::PlanBuilder::group) set another rate, decay, recipe, clip schedule or
//! rounding for some parameters; [`Hybrid::with_rules`] takes rules that are not this library's, by name:
//!
//! ```
//! # use burn::nn::LinearConfig;
//! # use burn::tensor::Device;
//! use spectra_burn::plan::Plan;
//! use spectra_burn::rules::{Clipped, Recipe};
//! use spectra_burn::{OwnRules, Hybrid, SpectralConfig, maps};
//!
//! let plan = Plan::builder()
//!     .group("*", |g| g.lr(0.5)) // for each setting the last group that makes it counts
//!     .group("*weight", |g| g.named("clipped mars"));
//! let clip = maps::Clip::new(maps::SoftClip::AUTO, 1.0);
//! let rules = OwnRules::new().with("clipped mars", Clipped::new(Recipe::preset("mars")?, clip));
//! # let model = LinearConfig::new(4, 8).init(&Device::flex().autodiff());
//! let optimizer = Hybrid::with_rules(&SpectralConfig::preset("spectra")?, &model, &plan, rules)?;
//! println!("{}", optimizer.plan_table());
//! # Ok::<(), spectra_burn::Error>(())
//! ```
//!
//! Rates multiply: burn's scheduler by module, [`SpectralConfig::elementwise_lr_ratio`], the group's. [`Spectral`], which knows
//! shapes only, has no groups but burn's own; scalars and vectors are not decayed there unless
//! [`SpectralConfig::decay_vectors`] says so.
//!
//! **States.** [`Hybrid::save`] writes burn's records, [`Hybrid::load_with`] reads them, also into a module that has changed;
//! [`Hybrid::snapshot`] and [`Hybrid::load_snapshot`] are the way from and to the optimizers of candle, CUDA and the core.
//!
//! **Orientation.** Burn's `Linear` stores `in x out`, its transposed convolutions `in x out x kernel`. Step scales and the side of
//! tail shrink's subspace depend on which side is which, so they are seen as the matrices with rows = output features
//! that they are ([`Hybrid`]).
//!
//! **Schedules.** The learning rate comes with every step, from burn's schedulers or ours; the clip thresholds' schedules
//! ([`SpectralConfig::clip_schedule`], [`pre_clip_schedule`](SpectralConfig::pre_clip_schedule)) follow the model's count of steps,
//! which is saved with the state. Burn's own type tells nobody when a step begins: there the count is that of the most advanced
//! parameter, exact for a plan's; a group's parameter that begins late may be one step behind. Clones of one such optimizer count
//! together.
//!
//! **Devices.** On burn's CPU device (`flex`) operations run on the tensors' memory. All others run burn's tensor
//! operations, which are tested on the CPU device; they have not been run, nor their speed measured, on a GPU.
#![forbid(unsafe_code)]

mod backend;
mod optimizer;

pub use backend::{BurnBackend, BurnElement, BurnMatrix, BurnScalar};
pub use spectra_core::backend::{Error, ErrorKind, Result};
pub use spectra_core::optimizer::{
    Config as Settings, Difference, Method, Missing, PreClip, Recipe, RestoreOptions, Restored, Snapshot,
    StepReport, StepScale, plan,
};
pub use spectra_core::{directions, linalg, maps, rules, scales, schedules, state};

pub use optimizer::{Hybrid, Orientation, OwnRules, Refused, Spectral, SpectralConfig, SpectralState};

/// The code of the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
