//! The cached power iteration (2602.11185, Algorithm 2).

use super::orthonormalize::{factor, go_on, is_well_conditioned, multiply_in_place};
use super::{SmallFactor, Workspace};
use crate::backend::{
    Backend, Coefficient, Element, Error, ErrorKind, Fused, Gradient, Matrix, Op, Result, Scalar, domain,
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
        let (n, k) = v.shape();
        if !workspace.tells_dead_columns()? {
            v.seed_zero_columns(self.seed, &mut workspace.scratch)?;
        }
        let mut sweep = Sweep::<B> {
            p: workspace.take_like(m, k)?,
            gram: workspace.take(k, k)?,
            z: workspace.take(n, k)?,
            inverse: workspace.take(k, k)?,
            blind: false,
        };
        let mut norm_squared = m.power_sweep(update, 1.0, v, &mut sweep.p, &mut sweep.gram, &mut sweep.z)?;
        let scale = safe_scale::<B::Element>(norm_squared.known())?;
        let mut one_sweep = true;
        // Of a zero matrix P and Z are zero, and all that is left to do is to clear V.
        let mut iterations = self.iterations.max(1);
        if norm_squared.known() == Some(0.0) && sweep.p.max_abs()?.known() == Some(0.0) {
            (iterations, sweep.blind) = (0, true);
            v.scale_add(Coefficient::ZERO, Coefficient::ZERO, &sweep.z)?;
        }
        for iteration in 0..iterations {
            if iteration > 0 || scale != 1.0 {
                norm_squared = sweep.again(m, scale, v)?;
            }
            one_sweep = sweep.factor((iteration == 0, self.seed), m, scale, v, workspace)?;
            if self.form == SubspaceForm::Exact {
                sweep.rotate(workspace)?;
            }
            sweep.normalize_into(v, workspace)?;
        }
        workspace.give(sweep.gram);
        workspace.give(sweep.inverse);
        let Sweep { p: u, z: w, blind, .. } = sweep;
        Ok(Subspace { u, w, scale, norm_squared, blind, one_sweep: Some(one_sweep), squares: None })
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

/// The temporaries of one iteration: `p` becomes U, `z` becomes W.
struct Sweep<B: Backend> {
    p: B::Matrix,
    gram: B::Matrix,
    z: B::Matrix,
    inverse: B::Matrix,
    /// See [`Subspace::blind`].
    blind: bool,
}

impl<B: Backend> Sweep<B> {
    fn again(&mut self, m: &mut B::Matrix, scale: f64, v: &B::Matrix) -> Result<B::Scalar> {
        m.power_sweep(None, scale, v, &mut self.p, &mut self.gram, &mut self.z)
    }

    /// From `P`, its Gram matrix and `Z = M^T P` to `U` and `W = M^T U`. Returns whether that took no further
    /// pass over M.
    fn factor(
        &mut self,
        (first, seed): (bool, u64),
        m: &mut B::Matrix,
        scale: f64,
        v: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<bool> {
        let r = SmallFactor::CholeskyInverse;
        let mut info = self.inverse.small_factor(r, &self.gram, &mut workspace.scratch)?;
        self.blind |= first && info.is_some_and(|info| info.dead == v.shape().1);
        if info.is_some_and(|info| info.dead > 0) {
            v.seed_zero_columns(seed, &mut workspace.scratch)?;
            self.again(m, scale, v)?;
            info = self.inverse.small_factor(r, &self.gram, &mut workspace.scratch)?;
        }
        if info.is_none() {
            // The host does not know the condition: a second round in any case, without another pass over M.
            multiply_in_place(&mut self.p, &self.inverse, workspace)?;
            multiply_in_place(&mut self.z, &self.inverse, workspace)?;
            factor(&self.p, &mut self.gram, &mut self.inverse, workspace)?;
        }
        if info.is_none() || is_well_conditioned(info) {
            multiply_in_place(&mut self.p, &self.inverse, workspace)?;
            multiply_in_place(&mut self.z, &self.inverse, workspace)?;
            // P carries `scale`, hence R too, and Z carries its square: W = Z R^-1 is scaled once.
            return Ok(true);
        }
        go_on(&mut self.p, &mut self.gram, &mut self.inverse, info, workspace)?;
        self.z.gemm(Coefficient::ZERO, scale.into(), m, Op::Transposed, &self.p, Op::Plain)?;
        Ok(false)
    }

    /// Rotates U and W so that the columns of W are orthogonal and decreasing.
    fn rotate(&mut self, workspace: &mut Workspace<B>) -> Result<()> {
        self.gram_of_w()?;
        self.inverse.small_factor(SmallFactor::Diagonalizer, &self.gram, &mut workspace.scratch)?;
        multiply_in_place(&mut self.p, &self.inverse, workspace)?;
        multiply_in_place(&mut self.z, &self.inverse, workspace)
    }

    /// `V = W diag(1 / ||w_i||)`.
    fn normalize_into(&mut self, v: &mut B::Matrix, workspace: &mut Workspace<B>) -> Result<()> {
        self.gram_of_w()?;
        self.inverse.small_factor(SmallFactor::ColumnNormalizer, &self.gram, &mut workspace.scratch)?;
        v.gemm(Coefficient::ZERO, Coefficient::ONE, &self.z, Op::Plain, &self.inverse, Op::Plain)
    }

    fn gram_of_w(&mut self) -> Result<()> {
        let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
        self.gram.gemm_symmetric(zero, one, &self.z, Op::Transposed, &self.z, Op::Plain)
    }
}
