//! The cached power iteration (2602.11185, Algorithm 2).

use super::Workspace;
use super::sweeps::Iterating;
use crate::backend::{
    Backend, Coefficient, Element, Error, ErrorKind, Fused, Gradient, Matrix, Op, Result, domain,
};
use alloc::{vec, vec::Vec};

/// How `V` is made from `W = M^T U`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum SubspaceForm {
    /// `V = W diag(1 / ||w_i||)` as in the paper: unit columns, orthogonal only in the limit.
    #[default]
    ColumnNorms,
    /// `U` and `W` are first rotated by the `B` that makes the columns of `W B` orthogonal (Rayleigh-Ritz):
    /// `U V^T` is then the exact polar factor of the projected matrix `U U^T M`, and `s` its singular values.
    Exact,
}

/// `T` iterations of `P = M V; U = thinQR(P); W = M^T U; V = normalise(W)` from a cached `V`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PowerIteration {
    /// T, from 1 to 100. Each makes the subspace's error `(sigma_{k+1} / sigma_k)^2` times as large.
    pub iterations: usize,
    /// The paper's normalisation or the exact one.
    pub form: SubspaceForm,
    /// Seed of the random columns that start the range finder and replace dead columns.
    pub seed: u64,
}

impl PowerIteration {
    /// The paper's: T = 1, column norms; seed 2602.
    pub const PAPER: Self = Self { iterations: 1, form: SubspaceForm::ColumnNorms, seed: 2602 };
}

impl Default for PowerIteration {
    /// [`PAPER`](Self::PAPER).
    fn default() -> Self {
        Self::PAPER
    }
}

/// The dominant subspace that a power iteration found. `U` (m x k) has orthonormal columns (or zero ones where
/// the matrix has no more rank), and `U W^T = U U^T M` holds to rounding.
#[derive(Debug)]
pub struct Subspace<B: Backend> {
    /// The left basis, m x k.
    pub u: B::Matrix,
    /// `scale M^T U`, n x k.
    pub w: B::Matrix,
    /// 1, or about `1 / ||M||_F` where squares of M would leave the element's range.
    pub scale: f64,
    /// `||M||_F^2`.
    pub norm_squared: B::Scalar,
    /// Whether the host learned that the first `M V` was zero: V saw nothing of M, and where its columns were zero random
    /// ones took their place.
    pub blind: bool,
    /// Whether one pass over M sufficed for the last iteration; false when the columns of `M V` were too
    /// ill-conditioned and `M^T U` was computed from a stable `U`. `None` where that is decided on the device and the host not told
    /// (CUDA, whose iteration takes two passes in any case).
    pub one_sweep: Option<bool>,
    /// `||W||_F^2` and `||V||_F^2`, where the iteration came by them.
    pub squares: Option<(B::Scalar, B::Scalar)>,
}

impl<B: Backend> Subspace<B> {
    /// Returns the temporaries to the pool.
    pub fn release(self, workspace: &mut Workspace<B>) {
        workspace.give(self.u);
        workspace.give(self.w);
    }

    /// `s_i = ||w_i||`, the estimates of the singular values. **Waits** for the device and allocates: for
    /// diagnostics and tests.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn singular_values(&self, workspace: &mut Workspace<B>) -> Result<Vec<f64>> {
        let k = self.w.shape().1;
        let mut gram = workspace.take(k, k)?;
        gram.gemm_symmetric(
            Coefficient::ZERO,
            Coefficient::ONE,
            &self.w,
            Op::Transposed,
            &self.w,
            Op::Plain,
        )?;
        let mut values = vec![B::Element::narrow(0.0); k * k];
        gram.read(&mut values)?;
        workspace.give(gram);
        Ok(values.iter().step_by(k + 1).map(|x| libm::sqrt(x.widen()) / self.scale).collect())
    }
}

impl PowerIteration {
    /// An error if a setting is outside its domain.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`](crate::backend::ErrorKind::Argument) with the setting's name.
    pub fn validate(&self) -> Result<()> {
        domain::iterations("power_iteration", "iterations", self.iterations, 1)
    }

    /// Runs the iteration on `m` (m x n) from `v` (n x k), and leaves the new `V` in `v`. If `update` is
    /// `Some((mu, G))`, first `m = mu m + G`, in the same pass.
    ///
    /// In the common case one pass over `m` per iteration: with `R` from the Gram matrix of `P = M V`,
    /// `U = P R^-1` and `W = (M^T P) R^-1`. Columns of `V` that are zero (the matrix had less rank before) are
    /// replaced by random ones first. 6 mnk flops per iteration.
    ///
    /// # Errors
    /// Settings; those of the backend; [`ErrorKind::NonFinite`] if the host learns that `||M||` is not finite.
    pub fn iterate<B: Backend>(
        &self,
        m: &mut B::Matrix,
        update: Option<(f64, &Gradient<'_, B::Matrix>)>,
        v: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Subspace<B>> {
        self.validate()?;
        let _scope = workspace.scope();
        B::power_iteration(self, m, update, v, workspace)
    }

    /// [`iterate`](Self::iterate) by [`Fused::power_sweep`].
    ///
    /// # Errors
    /// As [`iterate`](Self::iterate).
    pub fn iterate_by_sweeps<B: Backend>(
        &self,
        m: &mut B::Matrix,
        update: Option<(f64, &Gradient<'_, B::Matrix>)>,
        v: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Subspace<B>> {
        let mut one = [Iterating::begin(self, m, update, v, workspace)?];
        self.iterate_together(&mut one, workspace)?;
        let [one] = one;
        one.finish(workspace)
    }
}

/// 1, or `1 / ||M||` when the squares of M's entries would leave the range of the element type with room for
/// the sums: outside [min^(1/3), max^(2/3)].
pub(crate) fn safe_scale<E: Element>(norm_squared: Option<f64>) -> Result<f64> {
    let Some(square) = norm_squared else { return Ok(1.0) };
    if !square.is_finite() {
        return Err(Error::new("power_iteration", ErrorKind::NonFinite { what: "matrix (or its norm)" }));
    }
    let low = libm::cbrt(E::min_positive_value().widen());
    let high = libm::pow(E::max_value().widen(), 2.0 / 3.0);
    Ok(if square == 0.0 || (low..high).contains(&square) {
        1.0
    } else {
        // The reciprocal of a denormal must not overflow the element type.
        (1.0 / libm::sqrt(square)).min(E::max_value().widen())
    })
}
