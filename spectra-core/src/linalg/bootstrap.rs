//! The start of the power iteration: a randomized range finder.

use super::orthonormalize::{factor, has_no_factor};
use super::{PowerIteration, Subspace, SubspaceForm, Workspace, orthonormalize, safe_scale};
use crate::backend::{Backend, Coefficient, Fused, Gradient, Matrix, Op, Result, Scalar};

/// Iterations of the bootstrap; with them a first step of tail shrink at 1024 x 4096 costs 5 to 7 later ones for k from 102 to 614
/// (the program `bootstrap_cost`). The error of the subspace is about
/// `(sigma_{k+1} / sigma_k)^16` of the random start's.
const BOOTSTRAP_ITERATIONS: usize = 8;

impl PowerIteration {
    /// A first `V` (n x k) for `m`, and its subspace: a randomized range finder with power iterations (Halko,
    /// Martinsson, Tropp 2011, Algorithm 4.4, without oversampling) from uniform random columns of this
    /// [`seed`](Self::seed). The paper's `SVD_LOWRANK` is unspecified; this is ours. `update` as in
    /// [`iterate`](Self::iterate).
    ///
    /// # Errors
    /// Those of the backend, and [`ErrorKind::NonFinite`](crate::backend::ErrorKind::NonFinite).
    pub fn bootstrap<B: Backend>(
        &self,
        m: &mut B::Matrix,
        update: Option<(f64, &Gradient<'_, B::Matrix>)>,
        rank: usize,
        workspace: &mut Workspace<B>,
    ) -> Result<(B::Matrix, Subspace<B>)> {
        let _scope = workspace.scope();
        let mut v = workspace.backend().zeros_across(m, rank)?;
        v.seed_zero_columns(self.seed, &mut workspace.scratch)?;
        let subspace = self.find(m, update, &mut v, workspace)?;
        Ok((v, subspace))
    }

    /// [`bootstrap`](Self::bootstrap) in the place of a `v` (n x k) that is of no use, whatever it holds; through the host.
    pub(crate) fn restart<B: Backend>(
        &self,
        m: &mut B::Matrix,
        v: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Subspace<B>> {
        write_random(v, self.seed, workspace)?;
        self.find(m, None, v, workspace)
    }

    /// The iterations of the bootstrap, from random columns: all but the last only turn the subspace, for which any
    /// orthonormal basis will do; the last one finds the singular vectors in it.
    fn find<B: Backend>(
        &self,
        m: &mut B::Matrix,
        update: Option<(f64, &Gradient<'_, B::Matrix>)>,
        v: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Subspace<B>> {
        let (zero, k) = (Coefficient::ZERO, v.shape().1);
        if let Some((mu, gradient)) = update {
            m.scale_add(mu.into(), gradient.scale, gradient.values)?;
        }
        let norm_squared = m.dot(m)?.known();
        let scale = safe_scale::<B::Element>(norm_squared)?;
        if norm_squared != Some(0.0) {
            let mut p = workspace.take_like(m, k)?;
            let mut u = workspace.take_like(m, k)?;
            let mut w = workspace.take_across(m, k)?;
            for _ in 1..BOOTSTRAP_ITERATIONS {
                p.gemm(zero, scale.into(), m, Op::Plain, v, Op::Plain)?;
                basis(&mut p, &mut u, workspace)?;
                w.gemm(zero, scale.into(), m, Op::Transposed, &u, Op::Plain)?;
                basis(&mut w, v, workspace)?;
            }
            for matrix in [p, u, w] {
                workspace.give(matrix);
            }
        }
        let last = Self { iterations: 1, form: SubspaceForm::Exact, ..*self };
        last.iterate(m, None, v, workspace)
    }
}

/// A basis `q` of the columns of `p`, which is overwritten: one round of Cholesky QR, whose columns are as good a start for the
/// next product as orthonormal ones; by all means of [`orthonormalize`] where the host is not told that there is a factor.
fn basis<B: Backend>(p: &mut B::Matrix, q: &mut B::Matrix, workspace: &mut Workspace<B>) -> Result<()> {
    let k = p.shape().1;
    let mut gram = workspace.take(k, k)?;
    let mut inverse = workspace.take(k, k)?;
    let info = factor(p, &mut gram, &mut inverse, workspace)?;
    if info.is_none() || has_no_factor::<B>(k, info) {
        orthonormalize(p, workspace)?;
        q.copy_from(p)?;
    } else {
        q.gemm(Coefficient::ZERO, Coefficient::ONE, p, Op::Plain, &inverse, Op::Plain)?;
    }
    workspace.give(gram);
    workspace.give(inverse);
    Ok(())
}

/// Random columns, those of [`Fused::seed_zero_columns`], in the place of everything.
pub(crate) fn write_random<B: Backend>(
    v: &mut B::Matrix,
    seed: u64,
    workspace: &mut Workspace<B>,
) -> Result<()> {
    let (n, k) = v.shape();
    let (random, _) = workspace.scratch.slices(n * k, 0);
    random.fill(num_traits::Zero::zero());
    super::seed_zero_columns(k, random, seed);
    v.write(random)
}
