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
//! together on one thread, and each by itself on threads of their own.
//!
//! **Devices.** On burn's CPU device (`flex`) operations run on the tensors' memory. All others run burn's tensor
//! operations, which are tested on the CPU device; they have not been run, nor their speed measured, on a GPU.
//!
//! **Several devices.** Burn's learner takes [`Hybrid::optimizer`] under each of its strategies:
//!
//! ```text
//! let optimizer = SpectralConfig::preset("spectra")?.init_for(&model)?.optimizer()?;
//! let learner = Learner::new(model, optimizer, lr_scheduler.init()?);
//! let devices = vec![Device::cuda(0).autodiff(), Device::cuda(1).autodiff()];
//! // One model, any device. `OptimSharded`: each device steps its share of the parameters; `OptimMainDevice`: the first all.
//! let strategy = ExecutionStrategy::multi(devices.clone(), MultiDeviceOptim::OptimSharded);
//! // Or a replica on each, CUDA only:
//! let strategy = ExecutionStrategy::ddp(devices, DistributedConfig { all_reduce_op: ReduceOperation::Mean });
//! training.with_training_strategy(strategy.into()).run(learner);
//! ```
//!
//! * `multi` **adds** the devices' gradients: they are as many times their mean as there are devices, which thresholds for gradients
//!   (`pre_clip`, `clip_norm`) have to be set for. A parameter is a whole matrix on one device, which follows from its
//!   id; costs are not balanced. In a loop of one's own the same is [`Hybrid::step_multi`], which checks and clips over all devices
//!   and refuses as [`Hybrid::step`] does.
//! * `ddp` has every replica take every step, on a thread of its own with a clone of the optimizer. A clone has its own state, of
//!   a [`Hybrid`] as of burn's type; none waits for another. Equal gradients make equal bits, also of random rounding,
//!   so nothing has to be sent but the gradients. A gradient that is refused ends its replica's thread by a panic, and the others at
//!   their next step, with the same text. Any replica's state is the one to save.
//! * Burn adds gradients over devices (`all_reduce`) on CUDA only: `ExecutionStrategy::ddp` panics as it is made on any other.
//! * A state is of parameters, not devices: saved on any number of them it is loaded on any other.
//!
//! None of this has been run on several devices, and nothing has been measured: to burn the CPU is one device, so tests show the sums,
//! the verdicts, replicas on threads, and the calls of burn's learner made by hand.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod backend;
mod optimizer;

pub use backend::{BurnBackend, BurnElement, BurnMatrix, BurnScalar, Tally};
pub use spectra_core::backend::{Error, ErrorKind, Result};
pub use spectra_core::optimizer::{
    Config as Settings, Difference, Method, Missing, Observation, PreClip, Recipe, RestoreOptions, Restored,
    Snapshot, StepReport, StepScale, plan,
};
pub use spectra_core::{directions, linalg, maps, rules, scales, schedules, state};

pub use optimizer::{Hybrid, Orientation, OwnRules, Refused, Spectral, SpectralConfig, SpectralState};

/// The code of the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
