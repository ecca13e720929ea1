//! Power iterations by sweeps, several in step: so that a backend may send one message for all.

use super::orthonormalize::{go_on, is_well_conditioned, multiply_in_place};
use super::power_iteration::safe_scale;
use super::{PowerIteration, SmallFactor, SmallInfo, Subspace, SubspaceForm, Workspace};
use crate::backend::{
    Backend, Coefficient, Error, ErrorKind, Fused, Gradient, Matrix, Op, PackedProducts, PowerSweep, Result,
    Scalar,
};

/// One power iteration on its way: its operands, and the temporaries of which `p` becomes U and `z` becomes W.
#[derive(Debug)]
pub(crate) struct Iterating<'a, B: Backend> {
    m: &'a mut B::Matrix,
    update: Option<(f64, &'a Gradient<'a, B::Matrix>)>,
    v: &'a mut B::Matrix,
    p: B::Matrix,
    gram: B::Matrix,
    z: B::Matrix,
    inverse: B::Matrix,
    scale: f64,
    norm_squared: Option<B::Scalar>,
    info: Option<SmallInfo>,
    /// Of a zero matrix P and Z are zero, and all that was left to do was to clear V.
    is_zero: bool,
    /// See [`Subspace::blind`].
    blind: bool,
    one_sweep: bool,
    squares: Option<(B::Scalar, B::Scalar)>,
    wanted: Wanted,
}

/// Which Gram matrix comes next.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    OfP,
    OfZ,
}

impl<'a, B: Backend> Iterating<'a, B> {
    /// Before the first sweep.
    pub(crate) fn begin(
        options: &PowerIteration,
        m: &'a mut B::Matrix,
        update: Option<(f64, &'a Gradient<'a, B::Matrix>)>,
        v: &'a mut B::Matrix,
        workspace: &mut Workspace<B>,
    ) -> Result<Self> {
        let k = v.shape().1;
        if !workspace.tells_dead_columns()? {
            v.seed_zero_columns(options.seed, &mut workspace.scratch)?;
        }
        Ok(Self {
            p: workspace.take_like(m, k)?,
            gram: workspace.take(k, k)?,
            z: workspace.take_across(m, k)?,
            inverse: workspace.take(k, k)?,
            m,
            update,
            v,
            scale: 1.0,
            norm_squared: None,
            info: None,
            is_zero: false,
            blind: false,
            one_sweep: true,
            squares: None,
            wanted: Wanted::OfP,
        })
    }

    /// After the first sweep: the scale, and whether there is anything to iterate on.
    fn look(&mut self) -> Result<()> {
        let known = self.norm_squared()?.known();
        self.scale = safe_scale::<B::Element>(known)?;
        if known == Some(0.0) && self.p.max_abs()?.known() == Some(0.0) {
            (self.is_zero, self.blind) = (true, true);
            self.v.scale_add(Coefficient::ZERO, Coefficient::ZERO, &self.z)?;
        } else if self.scale != 1.0 {
            self.sweep_again()?;
        }
        Ok(())
    }

    fn sweep_again(&mut self) -> Result<()> {
        self.sweep().map_or(Ok(()), PowerSweep::run)
    }

    fn norm_squared(&self) -> Result<&B::Scalar> {
        let reason = "a backend has left out a sweep";
        self.norm_squared.as_ref().ok_or_else(|| Error::new("power_iteration", ErrorKind::State { reason }))
    }

    /// `R^-1` from the Gram matrix of P. Where the host does not know its condition, a second round follows in any case, without another
    /// pass over M.
    fn factor(&mut self, (first, seed): (bool, u64), workspace: &mut Workspace<B>) -> Result<()> {
        self.invert(workspace)?;
        self.blind |= first && self.info.is_some_and(|info| info.dead == self.v.shape().1);
        if self.info.is_some_and(|info| info.dead > 0) {
            self.v.seed_zero_columns(seed, &mut workspace.scratch)?;
            self.sweep_again()?;
            self.invert(workspace)?;
        }
        if self.info.is_none() {
            self.multiply(workspace)?;
        }
        Ok(())
    }

    fn invert(&mut self, workspace: &mut Workspace<B>) -> Result<()> {
        let factor = SmallFactor::CholeskyInverse;
        self.info = self.inverse.small_factor(factor, &self.gram, &mut workspace.scratch)?;
        Ok(())
    }

    fn multiply(&mut self, workspace: &mut Workspace<B>) -> Result<()> {
        multiply_in_place(&mut self.p, &self.inverse, workspace)?;
        multiply_in_place(&mut self.z, &self.inverse, workspace)
    }

    /// From `P`, its factor and `Z = M^T P` to `U` and `W = M^T U`; notes whether that took no further pass over M.
    fn divide(&mut self, workspace: &mut Workspace<B>) -> Result<()> {
        if self.info.is_none() {
            // Of the second round.
            self.invert(workspace)?;
            self.info = None;
        }
        self.one_sweep = self.info.is_none() || is_well_conditioned(self.info);
        if self.one_sweep {
            // P carries `scale`, hence R too, and Z carries its square: W = Z R^-1 is scaled once.
            return self.multiply(workspace);
        }
        go_on(&mut self.p, &mut self.gram, &mut self.inverse, self.info, workspace)?;
        self.z.gemm(Coefficient::ZERO, self.scale.into(), self.m, Op::Transposed, &self.p, Op::Plain)
    }

    /// Rotates U and W so that the columns of W are orthogonal and decreasing, by their Gram matrix.
    fn rotate(&mut self, workspace: &mut Workspace<B>) -> Result<()> {
        self.inverse.small_factor(SmallFactor::Diagonalizer, &self.gram, &mut workspace.scratch)?;
        self.multiply(workspace)
    }

    /// `V = W diag(1 / ||w_i||)`, by the Gram matrix of W. Where the rows of W are distributed, `||W||^2` and `||V||^2` come from
    /// that, too, for which no message is needed.
    fn normalize(&mut self, workspace: &mut Workspace<B>) -> Result<()> {
        let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
        self.inverse.small_factor(SmallFactor::ColumnNormalizer, &self.gram, &mut workspace.scratch)?;
        self.v.gemm(zero, one, &self.z, Op::Plain, &self.inverse, Op::Plain)?;
        if B::DISTRIBUTES && self.v.layout() != 0 {
            let k = self.v.shape().1;
            let (identity, mut scaled) = (workspace.identity(k)?, workspace.take(k, k)?);
            // <C, I> and <N, C N> with V = W N, N diagonal.
            scaled.gemm(zero, one, &self.gram, Op::Plain, &self.inverse, Op::Plain)?;
            self.squares = Some((self.gram.dot(&identity)?, self.inverse.dot(&scaled)?));
            workspace.give_identity(identity);
            workspace.give(scaled);
        }
        Ok(())
    }

    /// What it has found.
    pub(crate) fn finish(self, workspace: &mut Workspace<B>) -> Result<Subspace<B>> {
        let norm_squared = self.norm_squared()?.clone();
        let Self { p: u, z: w, gram, inverse, scale, blind, one_sweep, squares, .. } = self;
        workspace.give(gram);
        workspace.give(inverse);
        Ok(Subspace { u, w, scale, norm_squared, blind, one_sweep: Some(one_sweep), squares })
    }
}

impl<B: Backend> PackedProducts<B::Matrix> for Iterating<'_, B> {
    fn sweep(&mut self) -> Option<PowerSweep<'_, B::Matrix>> {
        (!self.is_zero).then(|| PowerSweep {
            matrix: self.m,
            update: self.update.take(),
            alpha: self.scale,
            v: self.v,
            p: &mut self.p,
            gram: &mut self.gram,
            z: &mut self.z,
            norm_squared: &mut self.norm_squared,
        })
    }

    fn gram(&mut self) -> Option<(&mut B::Matrix, &B::Matrix)> {
        match self.wanted {
            _ if self.is_zero => None,
            // The second round of those whose condition the host does not know.
            Wanted::OfP => self.info.is_none().then_some((&mut self.gram, &self.p)),
            Wanted::OfZ => Some((&mut self.gram, &self.z)),
        }
    }
}

impl PowerIteration {
    /// The iterations of all, in step: each sweep of all is one call of [`Backend::power_sweeps`], and so are the Gram matrices.
    pub(crate) fn iterate_together<B: Backend>(
        &self,
        all: &mut [Iterating<'_, B>],
        workspace: &mut Workspace<B>,
    ) -> Result<()> {
        B::power_sweeps(all)?;
        all.iter_mut().try_for_each(Iterating::look)?;
        for iteration in 0..self.iterations.max(1) {
            if iteration > 0 {
                B::power_sweeps(all)?;
            }
            live(all).try_for_each(|one| one.factor((iteration == 0, self.seed), workspace))?;
            grams(all, Wanted::OfP)?;
            live(all).try_for_each(|one| one.divide(workspace))?;
            if self.form == SubspaceForm::Exact {
                grams(all, Wanted::OfZ)?;
                live(all).try_for_each(|one| one.rotate(workspace))?;
            }
            grams(all, Wanted::OfZ)?;
            live(all).try_for_each(|one| one.normalize(workspace))?;
        }
        Ok(())
    }
}

/// Those that are not zero.
fn live<'s, 'a, B: Backend>(
    all: &'s mut [Iterating<'a, B>],
) -> impl Iterator<Item = &'s mut Iterating<'a, B>> {
    all.iter_mut().filter(|one| !one.is_zero)
}

fn grams<B: Backend>(all: &mut [Iterating<'_, B>], wanted: Wanted) -> Result<()> {
    all.iter_mut().for_each(|one| one.wanted = wanted);
    B::gram_matrices(all)
}
