//! The fused operations on the memory of the CPU device.

use super::element::BurnElement;
use super::matrix::{BurnMatrix, Values};
use super::on_memory::OnHost;
use super::scalar::BurnScalar;
use spectra_core::backend::{Coefficient, Entrywise, Gradient, Result};
use spectra_core::faer::MatrixMut;

type Coef<'a> = Coefficient<'a, BurnScalar>;

impl<E: BurnElement> BurnMatrix<E> {
    /// `Backend::entrywise_add` in one pass over memory; false if a matrix is not in memory or lies in another order.
    pub(super) fn entrywise<const N: usize>(
        matrices: &mut [&mut Self; N],
        weights: (f64, f64),
        rule: Entrywise,
        gradient: &Gradient<'_, Self>,
    ) -> Result<bool> {
        let Some(transposed) = matrices.first().map(|x| x.is_transposed()) else { return Ok(false) };
        let Some(g) = gradient.values.memory() else { return Ok(false) };
        let mut memory: [MatrixMut<'_, E>; N] = std::array::from_fn(|_| MatrixMut::default());
        for (place, matrix) in memory.iter_mut().zip(matrices) {
            match &mut matrix.values {
                Values::Memory(x) if x.is_transposed() == transposed => *place = x.stored_mut()?,
                _ => return Ok(false),
            }
        }
        let (scale, g) = (OnHost::new(gradient.scale)?, g.in_order(transposed));
        MatrixMut::entrywise_add(memory, weights, rule, g.stored()?, scale.get())?;
        Ok(true)
    }

    /// `Fused::low_rank_add` by tiles; false if a matrix is not in memory.
    pub(super) fn low_rank(
        &mut self,
        (beta, alpha): (Coef<'_>, Coef<'_>),
        x: &Self,
        left: &Self,
        right: &Self,
    ) -> Result<bool> {
        let (Values::Memory(out), Some(x), Some(left), Some(right)) =
            (&mut self.values, x.memory(), left.memory(), right.memory())
        else {
            return Ok(false);
        };
        let (beta, alpha) = (OnHost::new(beta)?, OnHost::new(alpha)?);
        let transposed = out.is_transposed();
        let (x, left, right) = (x.in_order(transposed), left.in_order(false), right.in_order(false));
        // (X - L R^T)^T = X^T - R L^T
        let (left, right) = if transposed { (right, left) } else { (left, right) };
        out.stored_mut::<E>()?.low_rank_add(
            beta.get(),
            alpha.get(),
            x.stored()?,
            left.stored()?,
            right.stored()?,
        )?;
        Ok(true)
    }

    /// `Fused::power_sweep` in one pass; `None` if a matrix is not in memory or a written one lies by columns: the pass
    /// goes over rows.
    pub(super) fn sweep(
        &mut self,
        update: Option<(f64, &Gradient<'_, Self>)>,
        alpha: f64,
        v: &Self,
        p: &mut Self,
        gram: &mut Self,
        z: &mut Self,
    ) -> Result<Option<BurnScalar>> {
        let written = [&*self, &*p, &*gram, &*z];
        if written.iter().any(|x| x.is_transposed()) {
            return Ok(None);
        }
        let (Values::Memory(m), Values::Memory(p), Values::Memory(gram), Values::Memory(z), Some(v)) =
            (&mut self.values, &mut p.values, &mut gram.values, &mut z.values, v.memory())
        else {
            return Ok(None);
        };
        let v = v.in_order(false);
        let mut m = m.stored_mut::<E>()?;
        let (mut p, mut gram, mut z) = (p.stored_mut()?, gram.stored_mut()?, z.stored_mut()?);
        let square = match update {
            None => m.power_sweep(None, alpha, v.stored()?, &mut p, &mut gram, &mut z)?,
            Some((mu, gradient)) => {
                let Some(g) = gradient.values.memory() else { return Ok(None) };
                let (g, scale) = (g.in_order(false), OnHost::new(gradient.scale)?);
                let update = Some((mu, g.stored()?, scale.get()));
                m.power_sweep(update, alpha, v.stored()?, &mut p, &mut gram, &mut z)?
            }
        };
        Ok(Some(BurnScalar::host(square)))
    }
}
