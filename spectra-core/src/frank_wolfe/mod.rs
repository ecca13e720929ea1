//! Composite Frank-Wolfe over the spectral-norm ball (2603.14315, eq. 5): minimise `f(X) + psi(X)` over
//! `||X||_2 <= D`, given gradients of the smooth `f`.
//!
//! `V = argmin_{||V||_2 <= D} <G, V> + psi(V)`, `X <- (1 - gamma) X + gamma V`
//!
//! Each V is a spectral map of the gradient ([`Regularizer::minimizer`]) unless psi is [one's own](RegularizerRule) or the
//! [largest entry](MaxNorm); an optimizer with spectral clipping and
//! decoupled weight decay takes the same steps (Proposition 1, [`WeightDecayForm`]). The duality gap
//! `<G, X - V> + psi(X) - psi(V)` bounds how far `f + psi` is above its minimum, and stops the solver.
//!
//! ```
//! use spectra_core::backend::{Coefficient, Matrix, Result};
//! use spectra_core::dense::{Dense, DenseMatrix};
//! use spectra_core::frank_wolfe::{FrankWolfe, Regularizer};
//! use spectra_core::linalg::Workspace;
//!
//! // f(X) = ||X - T||^2 / 2 over the ball of radius 1: T with its singular values clipped, diag(1, 0.5).
//! let target = DenseMatrix::from_vec(2, 2, vec![3.0, 0.0, 0.0, 0.5])?;
//! let mut gradient = |x: &DenseMatrix<f64>, out: &mut DenseMatrix<f64>| -> Result<()> {
//!     out.copy_from(x)?;
//!     out.scale_add(Coefficient::ONE, (-1.0).into(), &target)
//! };
//! let mut x = DenseMatrix::from_vec(2, 2, vec![0.0; 4])?;
//! let mut workspace = Workspace::new(Dense::new());
//! let solver = FrankWolfe { tolerance: 1e-2, ..FrankWolfe::new(1.0, Regularizer::None) };
//! let outcome = solver.minimize(&mut gradient, &mut x, &mut workspace)?;
//! assert!(outcome.converged && outcome.gap <= 1e-2);
//! assert!((x.values()[0] - 1.0).abs() < 0.15 && (x.values()[3] - 0.5).abs() < 0.15);
//! # Ok::<(), spectra_core::backend::Error>(())
//! ```

mod conversion;
mod max_norm;
mod objective;
mod regularizer;
mod rule;
mod solver;

pub use conversion::{FrankWolfeForm, WeightDecayForm};
pub use max_norm::{MaxNorm, MaxNormForm, MaxNormSolution};
pub use objective::Objective;
pub use regularizer::Regularizer;
pub use rule::RegularizerRule;
pub use solver::{Averaging, FrankWolfe, Iteration, Outcome, StepRule};
