//! What the solver asks of a regulariser.

use super::Regularizer;
use crate::backend::{Backend, Result};
use crate::linalg::Workspace;
use core::fmt;

/// A convex `psi` on the spectral-norm ball: its values, and the linear subproblem it leads to. Those of this library are a
/// [`Regularizer`] and [`MaxNorm`](super::MaxNorm); one of your own is a type with two methods:
///
/// ```
/// use spectra_core::backend::{Backend, Coefficient, Matrix, Result, Scalar};
/// use spectra_core::dense::{Dense, DenseMatrix};
/// use spectra_core::frank_wolfe::{FrankWolfe, RegularizerRule};
/// use spectra_core::linalg::Workspace;
/// use spectra_core::maps::{HardClip, HardClipMethod};
///
/// /// `(b / 2) ||X - A||_F^2`, towards weights A instead of zero: `V = -clip_D(G / b - A)`.
/// #[derive(Debug)]
/// struct Towards {
///     weights: DenseMatrix<f64>,
///     b: f64,
/// }
///
/// impl RegularizerRule<Dense<f64>> for Towards {
///     fn value(&self, x: &DenseMatrix<f64>, _: &mut Workspace<Dense<f64>>) -> Result<f64> {
///         let mut away = x.clone();
///         away.scale_add(Coefficient::ONE, (-1.0).into(), &self.weights)?;
///         Ok(self.b / 2.0 * away.dot(&away)?)
///     }
///
///     fn minimizer(
///         &self,
///         g: &DenseMatrix<f64>,
///         radius: f64,
///         out: &mut DenseMatrix<f64>,
///         workspace: &mut Workspace<Dense<f64>>,
///     ) -> Result<()> {
///         let mut free = self.weights.clone();
///         free.scale_add(Coefficient::ONE, (-1.0 / self.b).into(), g)?;
///         HardClip { method: HardClipMethod::Polar, ..HardClip::AUTO }.apply(&free, radius, out, workspace)?;
///         Ok(())
///     }
/// }
///
/// // f = 0: the point of the ball next to A, diag(1, 0.5).
/// let towards = Towards { weights: DenseMatrix::from_vec(2, 2, vec![3.0, 0.0, 0.0, 0.5])?, b: 2.0 };
/// let mut gradient = |_: &DenseMatrix<f64>, out: &mut DenseMatrix<f64>| out.write(&[0.0; 4]);
/// let mut x = DenseMatrix::from_vec(2, 2, vec![0.0; 4])?;
/// let outcome = FrankWolfe::new(1.0, towards).minimize(&mut gradient, &mut x, &mut Workspace::new(Dense::new()))?;
/// assert!(outcome.converged && x.values().iter().zip([1.0, 0.0, 0.0, 0.5]).all(|(x, right)| (x - right).abs() < 1e-9));
/// # Ok::<(), spectra_core::backend::Error>(())
/// ```
pub trait RegularizerRule<B: Backend>: fmt::Debug {
    /// An error if a setting, or the radius of the ball it goes with, is outside its domain.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with its name.
    fn validate(&self, radius: f64) -> Result<()> {
        let _ = radius;
        Ok(())
    }

    /// `psi(x)`. May wait for the device.
    ///
    /// # Errors
    /// Those of the backend.
    fn value(&self, x: &B::Matrix, workspace: &mut Workspace<B>) -> Result<f64>;

    /// Writes `V = argmin_{||V||_2 <= radius} <G, V> + psi(V)` to `out`, of the gradient's shape and with unspecified contents. The solver's gap is too
    /// small by what V misses the minimum by. May wait for the device.
    ///
    /// # Errors
    /// Those of the backend.
    fn minimizer(
        &self,
        gradient: &B::Matrix,
        radius: f64,
        out: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<()>;
}

impl<B: Backend> RegularizerRule<B> for Regularizer {
    fn validate(&self, radius: f64) -> Result<()> {
        Self::validate::<B::Element>(self, radius)
    }

    fn value(&self, x: &B::Matrix, workspace: &mut Workspace<B>) -> Result<f64> {
        Self::value(self, x, workspace)
    }

    fn minimizer(
        &self,
        gradient: &B::Matrix,
        radius: f64,
        out: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        Self::minimizer(self, gradient, radius, out, workspace)
    }
}
