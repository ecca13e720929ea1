//! Spectral optimizers on CUDA buffers that you own, through [cudarc].
//!
//! ```no_run
//! use spectra_cuda::plan::Plan;
//! use spectra_cuda::{Config, CudaBackend, Optimizer, Parameter, Precision};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let stream = spectra_cuda::open(0)?.default_stream();
//! let mut weights = stream.alloc_zeros::<f32>(4096 * 1024)?;
//! let gradient = stream.alloc_zeros::<f32>(4096 * 1024)?;
//! let backend = CudaBackend::<f32>::new(&stream, Precision::F32)?;
//! let config = Config::preset("spectra")?.lr(0.01).check_finite(false);
//! let shapes: [(&str, &[usize]); 1] = [("mlp.up.weight", &[4096, 1024])];
//! let mut optimizer = Optimizer::new(backend, config, &Plan::builder(), shapes)?;
//! optimizer.step(&mut [Parameter::new(&mut weights, &gradient)])?; // queued on `stream`
//! # Ok(())
//! # }
//! ```
//!
//! * [`Optimizer`]: a whole model; weights and gradients stay in the caller's buffers, of `f32`, `f64` or `bf16`, with gaps
//!   between the rows where there are any.
//! * [`Config`]: a preset and its settings, `Config::preset("spectra")?.rank_ratio(0.1).beta2(0.95)`. Their types are in
//!   [`directions`], [`maps`], [`linalg`] and [`schedules`]; each has a domain, in the backend's element type, and an optimizer
//!   refuses what is outside of it by its name.
//! * [`CudaBackend`], [`CudaMatrix`]: the traits of `spectra-core`, to call single algorithms.
//!
//! # Settings
//!
//! ```
//! use spectra_cuda::directions::{Direction, Momentum};
//! use spectra_cuda::linalg::{Polar, Steps};
//! use spectra_cuda::schedules::{FinalDecay, LearningRateSchedule};
//! use spectra_cuda::{Config, PreClip, StepScale};
//!
//! // One setting, wherever the preset's rules have it: in the tail shrink, and in the AdamW of everything else.
//! let config = Config::preset("spectra")?.rank_ratio(0.1).refresh_every(4).beta2(0.95).pre_clip(PreClip::new(10.0));
//! let muon = Config::preset("muon")?
//!     .direction(Direction::Momentum(Momentum::polyak(0.9)))
//!     .polar(Polar { steps: Steps::Fixed(6), ..Polar::MUON })
//!     .scale(StepScale::MaxDimension { factor: 0.2 });
//! config.validate::<f32>()?;
//! muon.validate::<f32>()?;
//! // A setting that no rule has is refused by its name, here and by every optimizer.
//! assert!(muon.rank_ratio(0.1).validate::<f32>().unwrap_err().to_string().contains("rank_ratio"));
//! // What `set_learning_rate` is to be given.
//! let lr = 0.01 * LearningRateSchedule::wsd(1000, FinalDecay::default())?.factor(10);
//! assert_eq!(lr, 0.01);
//! # Ok::<(), spectra_cuda::Error>(())
//! ```
//!
//! # What a step costs
//!
//! One matrix of 104 x 136, the fourth step, as the test `costs` prints it on the simulated device: kernel launches and cuBLAS products together, and words of
//! memory that they must move, in multiples of mn. Nothing is allocated.
//!
//! | preset | launches | of them products | mn words | waits |
//! |---|---|---|---|---|
//! | `spectra` | 12 | 6 | 8.31 | 0 |
//! | `adamw` | 1 | 0 | 7 | 0 |
//! | `lion` | 1 | 0 | 5 | 0 |
//! | `signum` | 1 | 0 | 5 | 0 |
//! | `ademamix` | 1 | 0 | 9 | 0 |
//! | `mars` | 4 | 0 | 13 | 0 |
//! | `sgd-m` | 1 | 0 | 5 | 0 |
//! | `muon`, `d-muon` | 31 | 15 | 69.76 | 0 |
//! | `muon-gram` | 27 | 12 | 59.18 | 0 |
//! | `adamw-post-orth` | 31 | 15 | 71.76 | 0 |
//! | `spectra-adamw` | 23 | 7 | 49.47 | 1 |
//! | `spectra-signum` | 30 | 10 | 62.76 | 1 |
//! | `frank-wolfe` | 412 | 252 | 467.2 | 14 |
//!
//! A block that is stored `in x out` ([`Split::transposed`](plan::Split::transposed)) is turned before and after: three launches and 6 mn words
//! more with its gradient, a copy of which is kept for each such block, and one of weights for each shape.
//!
//! Blocks of one shape, rule and rates step as one *stack*: the launches are those of the table for all of them together, up to 128 MiB of
//! `f32` and 256 blocks at a time (the test `lockstep` counts them on the simulated device for 2, 5 and 9 layers; on a GPU this has not run).
//! So do all rules but the hard clip, the soft clip by a tolerance (with [`SoftClipMethod::Fixed`](maps::SoftClipMethod) it does), Dion, Shampoo and SOAP, from the step on in which all their buffers exist.
//! Blocks step alone that are turned, that are rounded at random, and all while reports are kept. Symmetric products of order 512 or more in full precision,
//! of whose triangles cuBLAS has no batch, are a batch of up to eight blocks along a side, `(1 + 1/g) / 2` of the flops for g of them; where the order is no multiple of
//! `8 g` they are asked for one by one. Tables of the blocks' places stay on the device; a buffer elsewhere than in the step before is a
//! copy of a few bytes more, which is refused while a step is captured. Temporaries are those of all blocks of a stack.
//!
//! The norm clip adds a launch for each shape; [`Config::check_finite`], which is on by default, adds one and a wait
//! for one number in each step. The spectral clips choose their iteration by a bound that the host reads;
//! `SoftClipMethod::Fixed` does not.
//!
//! # CUDA graphs
//!
//! [`Optimizer::set_graphs`] makes each step one graph launch and one small copy of the host's numbers, by itself: captured when
//! it comes for the first time, repeated with the learning rate and the bias corrections of the day, captured anew when a buffer, the set
//! of gradients or a setting is another. Rules that read numbers of the device are refused by name. What the host does in such a step
//! is what it does in any, without the calls of the driver. On the simulated device twenty steps have the bits of steps without graphs for `spectra`, `muon`,
//! `muon-gram`, `normuon`, `adamuon`, `muon-hyperball`, `adamw`, `adamw-cautious`, `ademamix`, `mars`, `lion`, `signum`, and `spectra-adamw` and `spectra-signum` with
//! `SoftClipMethod::Fixed` (the test `graphs`); none of this has run on a GPU.
//!
//! A step can be captured by the caller, too, from the third on: one that does not wait allocates nothing and reads nothing. Copying from or to the
//! host, and allocating, are refused in a capture ([`CudaError::Captured`]). Numbers that the device computes, such as the factor of the
//! norm clip, are those of the replay. Such a graph keeps the learning rate and whatever else the host computed, such as the bias
//! correction of Adam, and a replay is not counted as a step; capture again when they change. Turn cudarc's event tracking off first, as
//! for any capture.
//!
//! A graph works in the memory that it was captured with, and neither CUDA nor cudarc keeps that alive: weights, gradients and the
//! optimizer must outlive it, and [`Optimizer::load_snapshot`], which replaces the state, asks for a new capture. Working memory
//! that the backend shares among its clones stays where it is as long as the backend lives.
//!
//! # Several GPUs
//!
//! [`nccl`] has the collectives of [`distributed`] on device buffers: [`distributed::DistributedOptimizer`] over a [`CudaBackend`]
//! and an [`Nccl`](nccl::Nccl) trains one model on several GPUs, in one process or one process each. The feature is on by default and
//! costs nothing: NCCL is looked for when the first group is made. What was tested, and what was not, is said there.
//!
//! # Threads
//!
//! All types are `Send` and `Sync` as Rust defines it: clones of a backend may be used on several threads, optimizers and matrices may
//! move, and what each thread computes does not depend on the others. They take turns on one stream; what must be queued together
//! (a product and its factors, a factorisation and its working memory) is queued under a lock. While one thread captures, others must
//! leave the stream alone: what they queue would become part of the graph.
//!
//! # Precision
//!
//! Matrix products are computed as [`Precision`] allows, which also says how the iterates of the polar factor and the soft clip are stored; everything
//! else is in the element type, norms and small factorisations in
//! `f64`. Reductions have one order, on every device, and use no atomic addition of numbers: the same step on the same machine
//! gives the same bits as far as cuBLAS does. Weights in `bf16` are the nearest to a master in `f32`
//! that the state keeps from the first step on; with [`Rounding::Nearest`](rules::Rounding) there is none, and they are widened where they are
//! read and rounded where they are written (twice by `ademamix` and by Nesterov's momentum without a map); state is in `f32`. Weights beyond bf16's
//! range, which is that of `f32`, become infinite without an error, because the host does not see them.
//!
//! In `f32` squares of gradients must stay in the range of the type (norms between 1e-19 and 1e19), because the host, which would
//! scale them, does not know the norms.
//!
//! # What has been tested, and what has not
//!
//! [`Precision::Bf16`]'s and [`Fp16`](Precision::Fp16)'s iterates, symmetric products by blocks and those of two factors have never run on a GPU.
//!
//! On an NVIDIA H200 (driver 580.159.04, CUDA 13.0, cuBLAS 13.1; 26 November 2026) passed: the conformance suite in `f32`, 77 of its
//! 112 checks in `f64` (then the machine's time was over), golden data, graph capture, bf16 storage, refusals. The README says what
//! failed, what has not been there yet, and what a step costs. No other device has been tried.
//!
//! CI has no GPU. There the kernels are compiled by NVIDIA's compiler for sm_80, sm_90 and sm_100; their logic and all host code
//! run against a simulated device that compiles the same source for the CPU, checks every access, barrier and race, and replaces cuBLAS
//! by plain loops. That does not check speed, the arithmetic of the hardware (fused multiply-adds, TF32, tensor cores), the limits of
//! the hardware, or cuBLAS itself. `SPECTRA_CUDA=real cargo test --release -p spectra-cuda` runs the same tests on a GPU, and
//! `cargo run --release -p spectra-cuda --example step` measures one.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(test), deny(clippy::unwrap_used))]
// What several GPUs need is there without its callers.
#![cfg_attr(not(feature = "nccl"), allow(dead_code, unused_imports))]

/// The code of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod backend;
mod checked;
mod error;
mod optimizer;
mod raw;

#[cfg(feature = "nccl")]
pub use backend::nccl;
pub use backend::{CudaBackend, CudaElement, CudaMatrix, CudaScalar, Precision, open};
pub use checked::{GraphCounts, Storage, Tally};
pub use cudarc;
pub use error::CudaError;
pub use optimizer::{Optimizer, Parameter, Source, Target};
pub use spectra_core::backend::{Error, ErrorKind, Result};
pub use spectra_core::optimizer::{
    Config, Difference, Method, Missing, PreClip, Recipe, RestoreOptions, Restored, StepReport, StepScale,
    plan,
};
pub use spectra_core::{directions, distributed, linalg, maps, rules, scales, schedules, state};
