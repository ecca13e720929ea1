//! Spectral optimizers for [candle](candle_core), in place of `candle_nn::AdamW`.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::{Module, Optimizer as _, VarBuilder, VarMap};
//! use spectra_candle::{Config, Optimizer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let varmap = VarMap::new();
//! let layer = candle_nn::linear(16, 4, VarBuilder::from_varmap(&varmap, DType::F32, &Device::Cpu))?;
//! // Was: let mut optimizer = AdamW::new_lr(varmap.all_vars(), 0.01)?;
//! let mut optimizer = Optimizer::from_varmap(&varmap, Config::preset("spectra")?.lr(0.01))?;
//! let (x, y) = (Tensor::randn(0f32, 1., (8, 16), &Device::Cpu)?, Tensor::zeros((8, 4), DType::F32, &Device::Cpu)?);
//! for _ in 0..10 {
//!     optimizer.backward_step(&candle_nn::loss::mse(&layer.forward(&x)?, &y)?)?;
//! }
//! optimizer.save(std::env::temp_dir().join("optimizer.safetensors"))?;
//! # std::fs::remove_file(std::env::temp_dir().join("optimizer.safetensors"))?;
//! # Ok(())
//! # }
//! ```
//!
//! * [`Optimizer`]: names from a `VarMap` decide who gets the spectral rule and who AdamW
//!   ([`plan_table`](Optimizer::plan_table) prints it; [`with_plan`](Optimizer::with_plan) changes it).
//! * [`Config`]: a preset and its settings, `Config::preset("spectra")?.rank_ratio(0.1).beta2(0.95)`. Their types are in
//!   [`directions`], [`maps`], [`linalg`] and [`schedules`]; each has a domain, in the arithmetic that the variables ask for, and
//!   an optimizer refuses what is outside of it by its name.
//! * [`CandleBackend`]: the traits of `spectra-core` on candle's tensors, to call single algorithms.
//!
//! # What is supported
//!
//! | | |
//! |---|---|
//! | variables | f32, f64, bf16, f16; integers are ignored, as by candle's own optimizers; 8-bit floats are refused |
//! | arithmetic and state | f32; f64 for the whole model if one variable is f64 |
//! | bf16, f16 | f32 arithmetic on a master in the state, of which each weight is the nearest ([`Rounding::Nearest`](rules::Rounding) does without, and loses changes below half a unit in the last place, as candle's own do); one that leaves the range (65504 in f16) is an error with the variable's name on the CPU, unnoticed on CUDA and Metal. On the CPU values are widened a piece at a time, on a GPU all gradients at once |
//! | shapes | any rank is stepped; the spectral rule takes matrices and convolutions, as `out x (the rest)`, and each matrix of a fused or stacked one by itself ([blocks](plan): rows are used where they lie, columns are copied). All others are AdamW's; whatever name and shape do not tell can be [refused](plan::PlanBuilder::strict) instead: see the [plan] |
//! | views | gradients may be transposed or narrowed views; they are copied then |
//! | tied variables | one variable under two names is refused: it would be updated twice |
//! | saved state | a [file](Optimizer::save), or [tensors](Optimizer::state_tensors) for a checkpoint of your own |
//!
//! **CPU**: a step works on the tensors' memory, by the kernels of `spectra_core::faer`, on all threads of rayon's
//! pool, small variables side by side. Its bits do not depend on the number of threads.
//!
//! **CUDA and Metal** (features `cuda`, `metal`): by candle's tensor operations, with temporaries, and small
//! factorisations on the host. In f32 it does not rescale gradients so small or large (norms outside 1e-19 to
//! 1e19) that their squares leave f32's range, which the CPU does. This path is tested on the CPU by the same
//! conformance suite. It has never run on a GPU, and nothing is known of its speed there.
//!
//! # Settings
//!
//! ```
//! use spectra_candle::directions::{Direction, Momentum};
//! use spectra_candle::linalg::{Polar, Steps};
//! use spectra_candle::maps::{SpectralMap, TailShrink};
//! use spectra_candle::{Config, Recipe, StepScale};
//!
//! // One setting, wherever the preset's rules have it: in the tail shrink, and in the AdamW of everything else.
//! let config = Config::preset("spectra")?.rank_ratio(0.1).refresh_every(4).rms(0.3).beta2(0.95).eps(1e-10);
//! // The parts of the rule for hidden matrices.
//! let muon = Config::preset("muon")?.polar(Polar { steps: Steps::Fixed(6), ..Polar::MUON }).nesterov(false);
//! let scaled = muon.direction(Direction::Momentum(Momentum::polyak(0.9))).scale(StepScale::MaxDimension { factor: 0.2 });
//! // A rule of one's own.
//! let map = SpectralMap::TailShrink(TailShrink { rank_ratio: 0.05, ..TailShrink::PAPER });
//! let own = Config::new(Recipe { map, ..Recipe::preset("adamw")? }).clip_norm(1.0);
//! for config in [config, muon, scaled, own] {
//!     config.validate::<f32>()?;
//! }
//! // A setting that no rule has is refused by its name, here and by every optimizer.
//! let error = muon.rank_ratio(0.1).validate::<f32>().unwrap_err();
//! assert!(error.to_string().contains("rank_ratio"));
//! # Ok::<(), spectra_candle::Error>(())
//! ```
//!
//! # Who else sees a change
//!
//! A step changes variables in place: every tensor that shares a variable's memory sees it, as after `Var::set`.
//! Nothing else is ever changed: gradients are read only, and a buffer that was handed out stays as it is: the next step that
//! changes it works on a copy.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod backend;
mod optimizer;

pub use backend::{CandleBackend, CandleElement, CandleMatrix, CandleScalar};
pub use optimizer::{DistributedOptimizer, Optimizer, OwnRules};
pub use spectra_core::backend::{Error, ErrorKind, Result};
pub use spectra_core::optimizer::{
    Config, Difference, Method, Missing, Observation, PreClip, Recipe, RestoreOptions, Restored, StepReport,
    StepScale, plan,
};
pub use spectra_core::{directions, distributed, linalg, maps, rules, scales, schedules, state};

/// The code of the project's README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
