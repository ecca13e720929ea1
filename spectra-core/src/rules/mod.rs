//! Rules: the optimizer of one matrix.
//!
//! An [`UpdateRule`] says which buffers it keeps and how a step changes weights and buffers. Nearly all are compositions of a
//! [direction](crate::directions), a [map](crate::maps) and a [scale](crate::scales): [`Composed`] for parts of any type,
//! [`Recipe`] for those of this library as data. [`Clipped`] clips the update of any other rule, [`Cautious`] decays its weights only
//! where the step does so, too, [`Hyperball`] keeps them on a sphere. A [`Method`] is a recipe or a whole rule of this library as data, whose [presets](Method::presets) are rows of
//! one table. A rule that is no composition is a type with three methods:
//!
//! ```
//! use spectra_core::backend::{Backend, Coefficient, Gradient, Matrix, Op, Result};
//! use spectra_core::linalg::Workspace;
//! use spectra_core::rules::{StepInfo, StepRates, UpdateRule};
//! use spectra_core::state::{BufferSpec, State};
//!
//! /// One-sided Shampoo without roots: `L = L + G G^T` (m x m), `X = X - lr L G / ||L||_F`.
//! #[derive(Debug, Clone)]
//! struct GramStep;
//!
//! impl<B: Backend> UpdateRule<B> for GramStep {
//!     fn signature(&self) -> String {
//!         "gram step".into()
//!     }
//!
//!     fn buffers(&self, (m, _): (usize, usize)) -> Vec<BufferSpec> {
//!         vec![BufferSpec::zeros("left", (m, m))]
//!     }
//!
//!     fn step(
//!         &self,
//!         x: &mut B::Matrix,
//!         g: &Gradient<'_, B::Matrix>,
//!         state: &mut State<B::Matrix>,
//!         rates: &StepRates,
//!         w: &mut Workspace<B>,
//!     ) -> Result<StepInfo<B::Scalar>> {
//!         let [left] = state.all_mut(["left"])?;
//!         let mut scaled = w.take_like(g.values, g.values.shape().1)?;
//!         scaled.scale_add(Coefficient::ZERO, g.scale, g.values)?;
//!         left.gemm(Coefficient::ONE, Coefficient::ONE, &scaled, Op::Plain, &scaled, Op::Transposed)?;
//!         let norm = B::Scalar::combine(ScalarOp::Max, &left.dot(left)?.sqrt()?, &w.backend().scalar(1e-18)?)?;
//!         let inverse = B::Scalar::combine(ScalarOp::Div, &w.backend().scalar(1.0)?, &norm)?;
//!         let step = Coefficient::device(-rates.lr, &inverse);
//!         x.gemm(rates.decay().into(), step, left, Op::Plain, &scaled, Op::Plain)?;
//!         w.give(scaled);
//!         Ok(StepInfo::default())
//!     }
//! }
//! # use spectra_core::backend::{Scalar, ScalarOp};
//!
//! use spectra_core::dense::{Dense, DenseMatrix};
//! use spectra_core::optimizer::{Config, Optimizer, plan::Plan};
//! use spectra_core::rules::Rules;
//!
//! let plan = Plan::builder().group("*.up.*", |g| g.named("gram")).build([("mlp.up.weight", &[3, 2][..])])?;
//! let rules = Rules::new().with("gram", GramStep);
//! let config = Config::preset("spectra")?.lr(0.1);
//! let mut optimizer = Optimizer::with_rules(Dense::<f64>::new(), config, plan.parameters(), rules)?;
//! let (mut x, g) = (DenseMatrix::from_fn(3, 2, |_, _| 1.0), DenseMatrix::from_fn(3, 2, |i, _| i as f64));
//! optimizer.step(&mut [(&mut x, &g)])?;
//! // G = [0 0; 1 1; 2 2]: L = [0 0 0; 0 2 4; 0 4 8], of norm 10; L G = [0 0; 10 10; 20 20].
//! assert!(x.values().iter().zip([1.0, 1.0, 0.9, 0.9, 0.8, 0.8]).all(|(x, right)| (x - right).abs() < 1e-15));
//! # Ok::<(), spectra_core::backend::Error>(())
//! ```

mod batch;
mod cautious;
mod clipped;
mod composed;
mod dion;
mod dion2;
mod experiments;
#[cfg(feature = "serde")]
mod form;
mod forward;
mod hyperball;
mod method;
mod momentum_format;
mod presets;
mod range;
mod recipe;
mod registry;
mod shampoo;
mod sharding;
mod soap;
mod update;
mod update_rule;
mod weights;

pub use batch::{BatchItem, Batching};
pub use cautious::Cautious;
pub use clipped::Clipped;
pub use composed::Composed;
pub use dion::{Dion, DionQr, DionRank, DionSide};
pub use dion2::{Dion2, SliceAxis};
pub use hyperball::Hyperball;
pub use method::{Method, WholeRule};
pub use momentum_format::MomentumFormat;
pub(crate) use range::non_finite;
pub use range::{Dots, GradientLimits, check_gradient};
pub use recipe::Recipe;
pub use registry::Rules;
pub use shampoo::{Graft, InverseRoot, Shampoo};
pub use sharding::Sharding;
pub use soap::Soap;
pub(crate) use update_rule::entrywise_flops;
pub use update_rule::{Energy, Rates, StepInfo, StepRates, UpdateRule};
pub use weights::{Rounding, Weights};
