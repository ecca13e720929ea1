//! The start of the power iteration: a randomized range finder.

use super::{PowerIteration, Subspace, SubspaceForm, Workspace};
use crate::backend::{Backend, Gradient, Matrix, Result};

/// Iterations of the bootstrap, with the exact form: the error of the subspace is about
/// `(sigma_{k+1} / sigma_k)^16` of the random start's.
const BOOTSTRAP_ITERATIONS: usize = 8;

impl PowerIteration {
    /// A first `V` (n x k) for `m`, and its subspace: a randomized range finder with power iterations (Halko,
    /// Martinsson, Tropp 2011, Algorithm 4.4, without oversampling) from uniform random columns of this
    /// [`seed`](Self::seed). The paper's `SVD_LOWRANK` is unspecified; this is ours. `update` as in
    /// [`iterate`](Self::iterate).
    ///
    /// # Errors
    /// Those of the backend, and [`ErrorKind::NonFinite`].
    pub fn bootstrap<B: Backend>(
        &self,
        m: &mut B::Matrix,
        update: Option<(f64, &Gradient<'_, B::Matrix>)>,
        rank: usize,
        workspace: &mut Workspace<B>,
    ) -> Result<(B::Matrix, Subspace<B>)> {
        let mut v = workspace.backend().zeros(m.shape().1, rank, None)?;
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

    /// The iterations of the bootstrap, from random columns.
    fn find<B: Backend>(
        &self,
        m: &mut B::Matrix,
        update: Option<(f64, &Gradient<'_, B::Matrix>)>,
        v: &mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Subspace<B>> {
        let finder = Self { iterations: BOOTSTRAP_ITERATIONS, form: SubspaceForm::Exact, ..*self };
        finder.iterate(m, update, v, workspace)
    }
}

/// Random columns, those of [`Matrix::seed_zero_columns`], in the place of everything.
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
