//! The AdamW step in one pass: 4 arrays read, 3 written, 7 words an entry.

use super::parallel::for_each;
use super::simd::vectorized;
use crate::backend::Element;

/// The scalars of one step, rounded as the separate passes round them.
#[derive(Debug, Clone, Copy)]
pub struct Adam<E> {
    /// Whether `out` is read.
    pub(super) read: bool,
    pub(super) beta: E,
    pub(super) alpha: E,
    pub(super) b1: E,
    pub(super) b2: E,
    /// `(1 - b1)` times the gradient's factor.
    pub(super) first: E,
    /// `(1 - b2)` times the square of the gradient's factor.
    pub(super) second: E,
    pub(super) eps: E,
}

impl<E: Element> Adam<E> {
    /// `M = b1 M + first G`, `V = b2 V + second G o G`, `out = beta out + alpha M / (sqrt(V) + eps)`.
    pub(super) fn apply(self, out: &mut [E], m: &mut [E], v: &mut [E], g: &[E]) {
        for_each(((out, g), (m, v)), &|((out, g), (m, v))| self.piece(out, m, v, g));
    }

    fn piece(self, out: &mut [E], m: &mut [E], v: &mut [E], g: &[E]) {
        // A factor of zero promises that the old contents do not matter, NaN included.
        for (read, x) in
            [(self.read, &mut *out), (self.b1 != E::zero(), &mut *m), (self.b2 != E::zero(), &mut *v)]
        {
            if !read {
                x.fill(E::zero());
            }
        }
        vectorized(
            #[inline(always)]
            || {
                let Self { beta, alpha, b1, b2, first, second, eps, .. } = self;
                for (((o, m), v), g) in out.iter_mut().zip(m.iter_mut()).zip(v.iter_mut()).zip(g) {
                    *m = b1 * *m + first * *g;
                    *v = b2 * *v + second * (*g * *g);
                    *o = beta * *o + alpha * (*m / (v.sqrt() + eps));
                }
            },
        );
    }
}
