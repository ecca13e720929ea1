//! Fused operations on matrices that may be divided.

use super::super::Collectives;
use super::Spread;
use super::matrix::{ShardedMatrix, other_distribution};
use super::products;
use crate::backend::{
    Backend, Coef, Coefficient, Fused, Gradient, Matrix, Op, PowerSweep, Result, check_shape, composed,
};
use crate::linalg::{Scratch, SixteenBits, SmallFactor, SmallInfo};
use alloc::vec::Vec;

impl<B: Backend, C: Collectives<B>> Fused for ShardedMatrix<B, C> {
    fn gemm_symmetric(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        a: &Self,
        op_a: Op,
        b: &Self,
        op_b: Op,
    ) -> Result<()> {
        // A summand of a symmetric matrix is not one; nor is a part.
        a.check_no_sum("gemm_symmetric").and(b.check_no_sum("gemm_symmetric"))?;
        let whole = self.spread.is_none();
        products::gemm(self, (beta, alpha), (a, op_a), (b, op_b), |out, beta, alpha, a, b| {
            if whole {
                out.gemm_symmetric(beta, alpha, a, op_a, b, op_b)
            } else {
                out.gemm(beta, alpha, a, op_a, b, op_b)
            }
        })
    }

    fn adam_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        first: &mut Self,
        second: &mut Self,
        gradient: &Self,
        betas: (f64, f64),
        eps: f64,
    ) -> Result<()> {
        for x in [&*first, &*second, gradient] {
            self.check_entries("adam_add", x)?;
        }
        let (first, second) = (&mut first.local, &mut second.local);
        self.local.adam_add(beta, alpha, first, second, &gradient.local, betas, eps)
    }

    fn power_sweep(
        &mut self,
        update: Option<(f64, &Gradient<'_, Self>)>,
        alpha: f64,
        v: &Self,
        p: &mut Self,
        gram: &mut Self,
        z: &mut Self,
    ) -> Result<B::Scalar> {
        let mut norm_squared = None;
        let mut sweep =
            [PowerSweep { matrix: self, update, alpha, v, p, gram, z, norm_squared: &mut norm_squared }];
        sweep_together(&mut sweep)?;
        norm_squared.ok_or_else(|| other_distribution("power_sweep"))
    }

    fn low_rank_add(
        &mut self,
        beta: Coef<'_, Self>,
        alpha: Coef<'_, Self>,
        x: &Self,
        left: &Self,
        right: &Self,
    ) -> Result<()> {
        self.check("low_rank_add", x)?;
        let ((m, n), k) = (self.shape, left.shape.1);
        check_shape("low_rank_add", (m, k), left.shape)?;
        check_shape("low_rank_add", (n, k), right.shape)?;
        let fits = match self.spread {
            None => left.spread.is_none() && right.spread.is_none(),
            Some(Spread::Rows) => left.spread == Some(Spread::Rows) && right.spread.is_none(),
            Some(Spread::Cols) => left.spread.is_none() && right.spread == Some(Spread::Rows),
            Some(Spread::Summands) => false,
        };
        if !fits {
            return Err(other_distribution("low_rank_add"));
        }
        self.local.low_rank_add(beta, alpha, &x.local, &left.local, &right.local)
    }

    fn small_factor(
        &mut self,
        factor: SmallFactor,
        gram: &Self,
        scratch: &mut Scratch<B::Element>,
    ) -> Result<Option<SmallInfo>> {
        self.check("small_factor", gram)?;
        if self.spread.is_some() {
            return Err(other_distribution("small_factor"));
        }
        self.local.small_factor(factor, &gram.local, scratch)
    }

    /// A divided matrix is gathered, and every rank takes its part of the result; summands likewise.
    fn gram_schmidt(&mut self, scratch: &mut Scratch<B::Element>) -> Result<()> {
        if self.spread.is_none() {
            self.local.gram_schmidt(scratch)
        } else {
            composed::gram_schmidt(self, scratch)
        }
    }

    /// Likewise.
    fn seed_zero_columns(&mut self, seed: u64, scratch: &mut Scratch<B::Element>) -> Result<()> {
        match self.spread {
            None => self.local.seed_zero_columns(seed, scratch),
            Some(_) => composed::seed_zero_columns(self, seed, scratch),
        }
    }

    /// Each rank draws for its own entries.
    fn round_stochastic(
        &mut self,
        format: SixteenBits,
        seed: u64,
        scratch: &mut Scratch<B::Element>,
    ) -> Result<()> {
        self.check_no_sum("round_stochastic")?;
        let Some(division) = self.division() else {
            return self.local.round_stochastic(format, seed, scratch);
        };
        let (rows, cols) = self.local.shape();
        let (values, _) = scratch.slices(rows * cols, 0);
        self.local.read(values)?;
        let (starts, len) = division.runs(self.shared.rank);
        for (run, start) in values.chunks_exact_mut(len.max(1)).zip(starts) {
            format.round_all(run, seed, start);
        }
        self.local.write(values)
    }
}

/// Several sweeps with one message.
///
/// Rows divided: P is divided alike, and the sums of `P^T P`, `M^T P` and `||M||^2` are whole on every rank. Columns divided: the sums of
/// `P = M V` and `||M||^2` are whole, and `M^T P` has the rows that are here.
pub(super) fn sweep_together<B: Backend, C: Collectives<B>>(
    sweeps: &mut [PowerSweep<'_, ShardedMatrix<B, C>>],
) -> Result<()> {
    let mut shared = None;
    for sweep in &mut *sweeps {
        check(sweep)?;
        let PowerSweep { matrix, update, alpha, v, p, gram, z, norm_squared } = sweep;
        if matrix.spread.is_some() {
            shared = Some(matrix.shared.clone());
        }
        let update = update.map(|(mu, g)| (mu, Gradient { values: &g.values.local, scale: g.scale }));
        let m = &mut matrix.local;
        **norm_squared = Some(if matrix.spread == Some(Spread::Cols) {
            if let Some((mu, gradient)) = &update {
                m.scale_add((*mu).into(), gradient.scale, gradient.values)?;
            }
            p.local.gemm(Coefficient::ZERO, (*alpha).into(), m, Op::Plain, &v.local, Op::Plain)?;
            m.dot(m)?
        } else {
            let update = update.as_ref().map(|(mu, gradient)| (*mu, gradient));
            m.power_sweep(update, *alpha, &v.local, &mut p.local, &mut gram.local, &mut z.local)?
        });
    }
    let Some(shared) = shared else { return Ok(()) };
    let (mut matrices, mut numbers) = (Vec::new(), Vec::new());
    for PowerSweep { matrix, p, gram, z, norm_squared, .. } in &mut *sweeps {
        match matrix.spread {
            None | Some(Spread::Summands) => continue,
            Some(Spread::Rows) => matrices.extend([&mut gram.local, &mut z.local]),
            Some(Spread::Cols) => matrices.push(&mut p.local),
        }
        numbers.extend(norm_squared.as_mut());
    }
    shared.sum(&mut matrices, &mut numbers)?;
    let (zero, one) = (Coefficient::ZERO, Coefficient::ONE);
    for PowerSweep { matrix, alpha, p, gram, z, .. } in
        sweeps.iter_mut().filter(|s| s.matrix.spread == Some(Spread::Cols))
    {
        gram.local.gemm_symmetric(zero, one, &p.local, Op::Transposed, &p.local, Op::Plain)?;
        z.local.gemm(zero, (*alpha).into(), &matrix.local, Op::Transposed, &p.local, Op::Plain)?;
    }
    Ok(())
}

/// An error unless shapes and distributions are those of a sweep.
fn check<B: Backend, C: Collectives<B>>(sweep: &PowerSweep<'_, ShardedMatrix<B, C>>) -> Result<()> {
    let PowerSweep { matrix, update, v, p, gram, z, .. } = sweep;
    let ((m, n), k) = (matrix.shape, v.shape.1);
    check_shape("power_sweep", (n, k), v.shape)?;
    check_shape("power_sweep", (m, k), p.shape)?;
    check_shape("power_sweep", (k, k), gram.shape)?;
    check_shape("power_sweep", (n, k), z.shape)?;
    if let Some((_, gradient)) = update {
        matrix.check("power_sweep", gradient.values)?;
    }
    let (rows, across) = match matrix.spread {
        Some(Spread::Summands) => return Err(other_distribution("power_sweep")),
        None => (None, None),
        Some(Spread::Rows) => (Some(Spread::Rows), None),
        Some(Spread::Cols) => (None, Some(Spread::Rows)),
    };
    let fits = p.spread == rows && v.spread == across && z.spread == across && gram.spread.is_none();
    if fits { Ok(()) } else { Err(other_distribution("power_sweep")) }
}
