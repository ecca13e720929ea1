//! A step of an entrywise rule in one pass: every matrix is read and written once.
//!
//! Words an entry: 5 for momentum, its sign and Lion, 7 for Adam, 9 with a slow part and for MARS, which reads two for its norm before.

use super::elementwise::sign;
use super::mars::Clip;
use super::parallel::for_each;
use super::simd::vectorized;
use crate::backend::{Coefficient, Element, Entrywise};

/// `x = beta x + alpha y`, its numbers rounded as the separate passes round them.
#[derive(Clone, Copy)]
struct Blend<E> {
    beta: E,
    alpha: E,
}

impl<E: Element> Blend<E> {
    fn new(beta: f64, alpha: f64) -> Self {
        Self { beta: E::narrow(beta), alpha: E::narrow(alpha) }
    }

    /// A factor of zero promises that the old contents do not matter, NaN included.
    fn clear(self, x: &mut [E]) {
        if self.beta.is_zero() {
            x.fill(E::zero());
        }
    }

    #[inline(always)]
    fn apply(self, x: &mut E, y: E) -> E {
        *x = self.beta * *x + self.alpha * y;
        *x
    }

    /// The same of an `x` that stays, and may be read by another.
    #[inline(always)]
    fn of(self, x: E, y: E) -> E {
        let x = if self.beta.is_zero() { E::zero() } else { x };
        self.beta * x + self.alpha * y
    }
}

/// [`Backend::entrywise_add`](crate::backend::Backend::entrywise_add) of `matrices` that fit; `scale`: the gradient's
/// factor; `clip`: that of MARS's.
pub(super) fn add<E: Element>(
    matrices: &mut [&mut [E]],
    (beta, alpha): (f64, f64),
    rule: Entrywise,
    gradient: &[E],
    (scale, clip): (Coefficient<'_, f64>, Clip<E>),
) {
    let x = Blend::new(beta, alpha);
    let average = |beta, weight| Blend::new(beta, scale.times(weight).value());
    match (rule, matrices) {
        (Entrywise::Momentum { mu, weight, nesterov, sign: false }, [out, m]) => {
            momentum(out, m, gradient, x, average(mu, weight), nesterov, |n| n);
        }
        (Entrywise::Momentum { mu, weight, nesterov, sign: true }, [out, m]) => {
            momentum(out, m, gradient, x, average(mu, weight), nesterov, sign);
        }
        (Entrywise::Lion { betas: (b1, b2) }, [out, m]) => {
            lion(out, m, gradient, x, average(b1, 1.0 - b1), average(b2, 1.0 - b2));
        }
        (Entrywise::Adam { betas: (b1, b2), eps, slow }, [out, m, v, rest @ ..]) => {
            let (m_by, v_by) = (Blend::new(b1, 1.0 - b1), Blend::new(b2, 1.0 - b2));
            let adam = Adam { x, m: m_by, v: v_by, eps: E::narrow(eps), scale: E::narrow(scale.value()) };
            match (slow, rest) {
                (Some((b3, a)), [s]) => {
                    adam.with_slow(out, m, v, s, gradient, Blend::new(b3, 1.0 - b3), E::narrow(a));
                }
                _ => adam.alone(out, m, v, gradient),
            }
        }
        (Entrywise::Mars { betas: (b1, b2), eps, weight }, [out, m, v, last]) => {
            let (m_by, v_by) = (Blend::new(b1, 1.0 - b1), Blend::new(b2, 1.0 - b2));
            let adam = Adam { x, m: m_by, v: v_by, eps: E::narrow(eps), scale: E::narrow(scale.value()) };
            adam.variance_reduced(out, m, v, last, gradient, (average(-weight, 1.0 + weight), clip));
        }
        (
            Entrywise::Momentum { .. }
            | Entrywise::Lion { .. }
            | Entrywise::Adam { .. }
            | Entrywise::Mars { .. },
            _,
        ) => {}
    }
}

/// `M = mu M + c G`, `N = M` or `mu M + c G`, `out = beta out + alpha f(N)`.
fn momentum<E: Element>(
    out: &mut [E],
    m: &mut [E],
    gradient: &[E],
    x: Blend<E>,
    m_by: Blend<E>,
    nesterov: bool,
    f: impl Fn(E) -> E + Sync,
) {
    for_each((out, m, gradient), &|(out, m, gradient)| {
        x.clear(out);
        m_by.clear(m);
        vectorized(
            #[inline(always)]
            || {
                for ((o, m), g) in out.iter_mut().zip(m.iter_mut()).zip(gradient) {
                    let mut n = m_by.apply(m, *g);
                    if nesterov {
                        m_by.apply(&mut n, *g);
                    }
                    x.apply(o, f(n));
                }
            },
        );
    });
}

/// `out = beta out + alpha sign(b1 M + c1 G)`, then `M = b2 M + c2 G`.
fn lion<E: Element>(out: &mut [E], m: &mut [E], gradient: &[E], x: Blend<E>, seen: Blend<E>, kept: Blend<E>) {
    for_each((out, m, gradient), &|(out, m, gradient)| {
        x.clear(out);
        vectorized(
            #[inline(always)]
            || {
                for ((o, m), g) in out.iter_mut().zip(m.iter_mut()).zip(gradient) {
                    x.apply(o, sign(seen.of(*m, *g)));
                    *m = kept.of(*m, *g);
                }
            },
        );
    });
}

/// How the matrices of Adam change.
#[derive(Clone, Copy)]
struct Adam<E> {
    x: Blend<E>,
    m: Blend<E>,
    v: Blend<E>,
    eps: E,
    /// Of the gradient, before it is squared.
    scale: E,
}

impl<E: Element> Adam<E> {
    fn clear(self, out: &mut [E], m: &mut [E], v: &mut [E]) {
        self.x.clear(out);
        self.m.clear(m);
        self.v.clear(v);
    }

    /// Advances M and V; returns M and the denominator `sqrt(V) + eps`.
    #[inline(always)]
    fn advance(self, m: &mut E, v: &mut E, g: E) -> (E, E) {
        (self.m.apply(m, g), self.v.apply(v, g * g).sqrt() + self.eps)
    }

    fn alone(self, out: &mut [E], m: &mut [E], v: &mut [E], gradient: &[E]) {
        for_each(((out, gradient), (m, v)), &|((out, gradient), (m, v))| {
            self.clear(out, m, v);
            vectorized(
                #[inline(always)]
                || {
                    for (((o, m), v), g) in out.iter_mut().zip(m.iter_mut()).zip(v.iter_mut()).zip(gradient) {
                        let (m, denominator) = self.advance(m, v, self.scale * *g);
                        self.x.apply(o, m / denominator);
                    }
                },
            );
        });
    }

    /// MARS: the same of `C = b L + a G` clipped, then `L = scale G`.
    fn variance_reduced(
        self,
        out: &mut [E],
        m: &mut [E],
        v: &mut [E],
        last: &mut [E],
        gradient: &[E],
        (blend, Clip { inverse, factor }): (Blend<E>, Clip<E>),
    ) {
        for_each(((out, gradient), (m, v, last)), &|((out, gradient), (m, v, last))| {
            self.clear(out, m, v);
            vectorized(
                #[inline(always)]
                || {
                    let states = m.iter_mut().zip(v.iter_mut()).zip(last.iter_mut());
                    for ((o, ((m, v), l)), g) in out.iter_mut().zip(states).zip(gradient) {
                        let c = factor * (inverse * blend.of(*l, *g));
                        *l = self.scale * *g;
                        let (m, denominator) = self.advance(m, v, c);
                        self.x.apply(o, m / denominator);
                    }
                },
            );
        });
    }

    /// The same with `S = b3 S + (1 - b3) G` and the numerator `M + a S`.
    fn with_slow(
        self,
        out: &mut [E],
        m: &mut [E],
        v: &mut [E],
        s: &mut [E],
        gradient: &[E],
        s_by: Blend<E>,
        a: E,
    ) {
        for_each(((out, gradient), (m, v, s)), &|((out, gradient), (m, v, s))| {
            self.clear(out, m, v);
            s_by.clear(s);
            vectorized(
                #[inline(always)]
                || {
                    let states = m.iter_mut().zip(v.iter_mut()).zip(s.iter_mut());
                    for ((o, ((m, v), s)), g) in out.iter_mut().zip(states).zip(gradient) {
                        let g = self.scale * *g;
                        let slow = s_by.apply(s, g);
                        let (m, denominator) = self.advance(m, v, g);
                        self.x.apply(o, (m + a * slow) / denominator);
                    }
                },
            );
        });
    }
}
