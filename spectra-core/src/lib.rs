//! Spectral optimizers of modern LLM training, every algorithm written once over two small traits.
//!
//! An optimizer of this family is three independent choices,
//!
//! ```text
//! X <- (1 - lr wd) X - lr scale map(direction(G))
//! ```
//!
//! a [direction](directions) (momentum, Adam, ...), a [spectral map](maps) (tail shrink, spectral clip, polar factor, identity)
//! and a [step scale](scales); a [`Recipe`](rules::Recipe) is one value with the three, and most [presets](rules::Method::presets)
//! (`spectra`, `adamw`, ...) are rows of that table. Each of the three is a trait, and so is the [rule](rules) that they make: one
//! of your own is a type outside this crate. The [plan](optimizer::plan) says which matrices of a model get which.
//!
//! # Which part is for you
//!
//! * **You train with candle or burn:** use `spectra-candle` or `spectra-burn`; of this crate you see [`optimizer::Config`] and
//!   [`optimizer::plan`].
//! * **You have your own tensors:** implement [`Backend`](backend::Backend) and [`Matrix`](backend::Matrix), 12 required methods, and
//!   [`Fused`](backend::Fused), none, run the `spectra-conformance` suite, and call [`optimizer::Optimizer`].
//! * **You want one algorithm:** [`maps`] and [`linalg`] are plain functions over the two traits.
//! * **You have no operating system:** [`dense`] runs on `core` and `alloc`.
//!
//! ```
//! use spectra_core::dense::{Dense, DenseMatrix};
//! use spectra_core::optimizer::{Config, Optimizer, plan::Plan};
//!
//! let plan = Plan::builder().build([("layers.0.mlp.up.weight", &[8usize, 4][..]), ("norm.weight", &[4])])?;
//! let config = Config::preset("spectra")?.lr(0.01).clip_norm(1.0);
//! let mut optimizer = Optimizer::new(Dense::<f32>::new(), config, plan.parameters())?;
//!
//! let mut up = DenseMatrix::from_fn(8, 4, |i, j| (i + 2 * j) as f32);
//! let mut norm = DenseMatrix::from_fn(1, 4, |_, _| 1.0);
//! let (up_gradient, norm_gradient) = (up.clone(), norm.clone());
//! optimizer.step(&mut [(&mut up, &up_gradient), (&mut norm, &norm_gradient)])?;
//! # Ok::<(), spectra_core::backend::Error>(())
//! ```
//!
//! # Features
//!
//! None by default: `#![no_std]` with `alloc`; dependencies are `num-traits` and `libm`.
//!
//! | feature | what it brings | needs |
//! |---|---|---|
//! | `faer` | the fast CPU backend (module `faer`) and the exact SVD | std, faer, rayon |
//! | `serde` | configurations and saved states in serde's formats | alloc, serde |
//! | `safetensors` | saved states as files, the same for every front-end | std, serde, safetensors |
//! | `threads` | [ranks](distributed) that are threads of one process | std |
//!
//! # The required methods, and why none can be provided
//!
//! A method is required only if two backends and one algorithm need it and the others cannot express it.
//!
//! | method | who needs it | why it is not written on the others |
//! |---|---|---|
//! | [`Backend::zeros`](backend::Backend::zeros) | every buffer | nothing else creates a matrix |
//! | [`Backend::scalar`](backend::Backend::scalar) | norms meet constants | a host number must get to the device without a matrix |
//! | [`Matrix::shape`](backend::Matrix::shape) | every check | |
//! | [`Matrix::read`](backend::Matrix::read) | saved states, small factors, tests | the only way to the host |
//! | [`Matrix::write`](backend::Matrix::write) | saved states, random starts | the only way from the host |
//! | [`Matrix::scale_add`](backend::Matrix::scale_add) | momentum, weights, copies | a product with the identity would cost n times as much |
//! | [`Matrix::product_add`](backend::Matrix::product_add) | second moments | nothing else is quadratic entry by entry |
//! | [`Matrix::quotient_add`](backend::Matrix::quotient_add) | Adam's direction | nothing else divides or takes roots |
//! | [`Matrix::sign_add`](backend::Matrix::sign_add) | Signum | `x / sqrt(x o x)` is NaN at 0 and wrong where squares underflow |
//! | [`Matrix::gemm`](backend::Matrix::gemm) | everything spectral | |
//! | [`Matrix::dot`](backend::Matrix::dot) | norms | `trace(A^T B)` by products would cost n times as much and read the result back |
//! | [`Matrix::max_abs`](backend::Matrix::max_abs) | finite check, scaling before squares overflow | a norm overflows where the maximum does not |
//!
//! Everything else is provided: fused forms (`entrywise_add`, `adam_add`, `power_sweep`, `low_rank_add`; the power iteration as a whole), the symmetric product, and the small
//! k x k factorisations, whose default goes through the host. [`Scalar`](backend::Scalar) adds three methods for numbers that
//! stay on the device; a CPU backend uses `f64` and writes none of them.
//!
//! # How four kinds of storage implement it
//!
//! The traits were settled on these sketches; all are implemented (`spectra-candle`, `spectra-burn`, `spectra-cuda`,
//! [`distributed::Sharded`]).
//!
//! | | candle: shared immutable tensors | burn: tensors moved by value | CUDA buffers | divided over ranks, by rows (by columns the other way round) |
//! |---|---|---|---|---|
//! | handle | `Tensor` (an `Arc`) | `Option<Tensor<2>>`, taken and put back | device pointer, stream, cuBLAS handle | local `m_i x n` block and a communicator |
//! | `scale_add`, `product_add`, `quotient_add`, `sign_add` | new tensor, handle assigned; in place only on storage that the optimizer alone owns | expression on the moved tensors | one kernel, in place, asynchronous | local, no communication |
//! | `gemm`, plain | `matmul`, then as above | `matmul` | `cublasGemmEx`, row-major as swapped column-major | local if A is sharded and B replicated |
//! | `gemm`, `A^T B` of two sharded | | | | local product, then all-reduce of the small result |
//! | `dot`, `max_abs` | 0-d tensor; `f64` on the CPU | `Tensor<1>` of one element | two-stage deterministic reduction into a device scalar | local, then all-reduce |
//! | `Scalar` | 0-d tensor, or `f64` on the CPU | `Tensor<1>` | place of a number, or a note of what to compute, which the next kernel does | as the local backend's |
//! | `read`, `write` | `to_vec1`, `from_slice` | `to_data`, `from_data` | copy and stream synchronise | gather, scatter |
//! | `zeros` with `rows_like` | ignored | ignored | ignored | the new matrix is sharded as `rows_like`; without it replicated |
//! | `small_factor` | default: waits on CUDA and Metal | default: waits on a GPU | own one-block kernel, no wait; returns `None` (eigenvectors and sorting: the default) | on the replicated k x k matrix |
//!
//! Three decisions follow from them. Operations write into `&mut self` because a functional framework can always assign a
//! new handle, while an in-place interface cannot be had back from a functional one. `alpha` and `beta` are
//! [`Coefficient`](backend::Coefficient)s, a host number times an optional device scalar, so that a step that depends on a norm never
//! waits. And distribution appears in two arguments (`rows_like`, and `like` of `zeros_across`) and in the layout of temporaries only: in the power iteration
//! `M`, `P` and `U` are divided, `V`, `W` and the Gram matrices are whole on every rank, and one sum of small matrices per step suffices.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(feature = "faer", feature = "safetensors", feature = "threads"))]
extern crate std;

pub mod backend;
pub mod dense;
pub mod directions;
pub mod distributed;
#[cfg(feature = "faer")]
pub mod faer;
pub mod frank_wolfe;
pub mod linalg;
pub mod maps;
pub mod optimizer;
pub mod rules;
pub mod scales;
pub mod schedules;
pub mod state;
