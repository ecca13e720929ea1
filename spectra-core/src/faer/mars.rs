//! The clip of MARS's gradient by its norm, of two matrices that are only read.

use super::parallel::reduce;
use super::reduce::{LEAF, larger};
use super::storage::Values;
use super::{Faer, FaerElement};
use crate::backend::{Coefficient, Result, Scalar};
use crate::linalg::{UnitNorm, norm_unit, squares_suffice};

/// What `C = beta L + alpha G` is multiplied by in turn, so that its norm is at most 1: the inverse of the norm's unit, and the factor.
#[derive(Debug, Clone, Copy)]
pub struct Clip<E> {
    pub(super) inverse: E,
    pub(super) factor: E,
}

impl<E: FaerElement> Clip<E> {
    pub(super) const fn none(one: E) -> Self {
        Self { inverse: one, factor: one }
    }

    /// With the bits of the separate passes, which write C.
    pub(super) fn of(
        beta: f64,
        last: Values<'_, E>,
        alpha: Coefficient<'_, f64>,
        gradient: Values<'_, E>,
    ) -> Result<Self> {
        let backend = &Faer::<E>::new();
        let measure = |inverse: E, leaf: fn(&[E]) -> f64, join: fn(f64, f64) -> f64| {
            let piece = |(last, gradient): (Values<'_, E>, Values<'_, E>)| {
                let mut buffers = [[E::zero(); LEAF]; 2];
                let [c, wide] = &mut buffers;
                let len = super::parallel::Split::len(&last);
                let c = &mut c[..len];
                if beta != 0.0 {
                    c.copy_from_slice(last.widened(wide));
                }
                E::scale_add(c, beta.into(), alpha, gradient.widened(wide));
                if inverse != E::one() {
                    c.iter_mut().for_each(|c| *c = inverse * *c);
                }
                leaf(c)
            };
            reduce((last, gradient), LEAF, &piece, &join)
        };
        let squares = |inverse| measure(inverse, |c| E::dot(c, c), |a, b| a + b);
        let (one, entries) = (E::one(), super::parallel::Split::len(&last));
        let plain = squares(one);
        let (inverse, norm) = if squares_suffice::<E>(plain.known(), entries, true) {
            (one, UnitNorm::plain(plain, backend)?)
        } else {
            let unit = norm_unit(&measure(one, E::max_abs, larger), backend)?;
            let inverse = E::narrow(1.0 / unit);
            (inverse, UnitNorm::in_units(unit, squares(inverse)))
        };
        Ok(Self { inverse, factor: E::narrow(norm.clip_factor(1.0, 0.0, backend)?) })
    }
}
