//! Odd polynomials that drive every singular value to 1, one per step, and how many of them it takes.
//!
//! The minimax schedule is the construction of Polar Express (Amsel, Persson, Musco, Gower 2025,
//! arXiv 2505.16932): the best composition of `n` odd polynomials on `[l, u]` is found greedily, each step the
//! best single polynomial on the interval that the steps before left.

use super::Published;
use crate::backend::{Result, require};

/// `p(x) = x (a + b x^2 + c x^4)`
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OddPolynomial {
    /// Of `x`.
    pub a: f64,
    /// Of `x^3`.
    pub b: f64,
    /// Of `x^5`.
    pub c: f64,
}

impl OddPolynomial {
    /// `p(x)`
    pub fn at(&self, x: f64) -> f64 {
        let y = x * x;
        x * (self.a + y * (self.b + y * self.c))
    }

    /// The odd cubic with the least `max |1 - p(x)|` on `[l, u]` (arXiv 2505.16932, in closed form): the error
    /// takes its maximum at l, at the maximum of p, and at u.
    pub fn minimax_cubic(l: f64, u: f64) -> Self {
        let alpha = libm::sqrt(3.0 / (u * u + l * u + l * l));
        let cube = alpha * alpha * alpha;
        let beta = 4.0 / (2.0 + l * u * (l + u) * cube);
        Self { a: 1.5 * alpha * beta, b: -0.5 * cube * beta, c: 0.0 }
    }

    /// Whether values from 0 to 1 stay from 0 to 2 at every step: [0, u], once it is mapped into itself, for ever.
    fn stays(&self) -> bool {
        let mut u = 1.0;
        for _ in 0..MAX_STEPS {
            let (low, high) = self.range(0.0, u);
            if !(low >= 0.0 && high <= 2.0) {
                return false;
            }
            if high <= u {
                break;
            }
            u = high;
        }
        true
    }

    /// `p(x) times f`
    fn times(self, f: f64) -> Self {
        Self { a: self.a * f, b: self.b * f, c: self.c * f }
    }

    /// `p(x / s)`
    pub(super) fn stretched(self, s: f64) -> Self {
        let cube = s * s * s;
        Self { a: self.a / s, b: self.b / cube, c: self.c / (cube * s * s) }
    }

    /// The odd quintic with the least `max |1 - p(x)|` on `[l, u]`, 0 < l <= u, by the Remez exchange: the error
    /// takes its maximum with alternating sign at `l < q < r < u`, and `q`, `r` are the roots of `p'`.
    pub fn minimax(l: f64, u: f64) -> Self {
        // Closer than this the equioscillating polynomial equals its limit, Pade's, in double precision.
        if l >= (1.0 - 5e-6) * u {
            return Self { a: 1.875, b: -1.25, c: 0.375 }.stretched(u);
        }
        let (mut q, mut r) = ((3.0 * l + u) / 4.0, (l + 3.0 * u) / 4.0);
        let (mut best, mut error) = (Self { a: 0.0, b: 0.0, c: 0.0 }, f64::INFINITY);
        // Quadratic convergence: about 5 exchanges.
        for _ in 0..50 {
            let [a, b, c, e] = equioscillate([l, q, r, u]);
            let p = Self { a, b, c };
            let discriminant = 9.0 * b * b - 20.0 * a * c;
            // Not a number is done, too.
            let go_on = libm::fabs(error - e) > 1e-15 && discriminant > 0.0;
            (best, error) = (p, e);
            if !go_on {
                break;
            }
            let root = libm::sqrt(discriminant);
            (q, r) = (libm::sqrt((-3.0 * b - root) / (10.0 * c)), libm::sqrt((-3.0 * b + root) / (10.0 * c)));
        }
        best
    }
}

/// The stretch of [`Schedule::Minimax`]: 1e-3 is ten thousand roundings of `f32`.
const STRETCH: f64 = 1.001;

/// The stretch where products are rounded to `eps`: 20 roundings of fp16 or TF32, 6 of bf16. Of a flat spectrum all values come to the upper
/// end at once and are rounded there, so that less does not hold them.
fn stretch(eps: f64) -> f64 {
    match eps {
        _ if eps <= 1e-4 => STRETCH,
        _ if eps <= 2e-3 => 1.02,
        _ => 1.05,
    }
}

/// Its least ratio of the interval's ends, as published.
const CUSHION: f64 = 0.02;

/// The minimax quintic of `[max(l, cushion u), u]`, scaled so that its range on `[l, u]` is centred at 1.
fn cushioned(l: f64, u: f64, cushion: f64) -> OddPolynomial {
    let p = OddPolynomial::minimax(l.max(cushion * u), u);
    if cushion * u > l { p.times(2.0 / (p.at(l) + p.at(u))) } else { p }
}

/// Solves `x (a + b x^2 + c x^4) + (-1)^i e = 1` at the four points: `[a, b, c, e]`.
fn equioscillate(points: [f64; 4]) -> [f64; 4] {
    let mut m = [[0.0; 5]; 4];
    for (i, (row, x)) in m.iter_mut().zip(points).enumerate() {
        let (y, sign) = (x * x, if i % 2 == 0 { 1.0 } else { -1.0 });
        *row = [x, x * y, x * y * y, sign, 1.0];
    }
    // Gaussian elimination with partial pivoting.
    for k in 0..4 {
        let pivot = (k..4).fold(k, |p, i| if libm::fabs(m[i][k]) > libm::fabs(m[p][k]) { i } else { p });
        m.swap(k, pivot);
        for i in k + 1..4 {
            let f = m[i][k] / m[k][k];
            let upper = m[k];
            m[i].iter_mut().zip(upper).skip(k).for_each(|(x, y)| *x -= f * y);
        }
    }
    let mut x = [0.0; 4];
    for k in (0..4).rev() {
        let sum: f64 = (k + 1..4).map(|j| m[k][j] * x[j]).sum();
        x[k] = (m[k][4] - sum) / m[k][k];
    }
    x
}

/// Which polynomial each step applies.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Schedule {
    /// Newton and Schulz: `x (3 - x^2) / 2` at every step.
    Cubic,
    /// Muon's `x (3.4445 - 4.7750 x^2 + 2.0315 x^4)` at every step (Jordan et al. 2024): fast to about 0.7 to
    /// 1.2, does not converge.
    Muon,
    /// The minimax quintic of the interval that is left, guarded just enough for full precision. The upper end of
    /// a wide interval is a fixed point with slope 12: rounding errors would drive values across it and away.
    /// While the interval is wider than 1 the argument is stretched by 1.001, by 1.02 or 1.05, and
    /// until its ends are within a factor of 2, where products have [16 bits](crate::backend::Backend::product_epsilon). And as in
    /// [`Guarded`](Self::Guarded) the polynomial is chosen for `[0.02 u, u]` at the widest, without which it
    /// would crush the largest values and with them the accuracy of the rest.
    #[default]
    Minimax,
    /// The minimax quintics as arXiv 2505.16932 applies them in half precision: all but the last are stretched by
    /// `safety`, and the interval is taken no wider than `[cushion u, u]` when a polynomial is chosen.
    Guarded {
        /// Stretch of the argument, from 1.001 (with less, rounding errors drive values across the upper end and away, see
        /// [`Minimax`](Self::Minimax)) to 1.5 (the slope of the last polynomials is 15/8: stretched by more they shrink what
        /// they ought to lift); the published coefficients have 1.02.
        safety: f64,
        /// Least ratio of the interval's ends, in [0, 1]; the published coefficients have 0.02.
        cushion: f64,
    },
    /// A published table.
    Published(Published),
    /// `x (a + b x^2 + c x^4)` at every step with three numbers of your own, as `torch.optim.Muon`'s `ns_coefficients`. Values from 0 to 1 must stay
    /// from 0 to 2 in any number of steps.
    Constant {
        /// Of `x`.
        a: f64,
        /// Of `x^3`.
        b: f64,
        /// Of `x^5`.
        c: f64,
    },
}

impl Schedule {
    /// The setting of the published coefficients (with `lower = 1e-3`).
    pub const POLAR_EXPRESS: Self = Self::Guarded { safety: 1.02, cushion: 0.02 };

    /// An error, of `operation`, if a setting is outside its domain.
    pub(crate) fn validate(self, operation: &'static str) -> Result<()> {
        if let Self::Guarded { safety, cushion } = self {
            let ok = (STRETCH..=1.5).contains(&safety);
            require(ok, operation, "safety", safety, "from 1.001 to 1.5")?;
            require((0.0..=1.0).contains(&cushion), operation, "cushion", cushion, "from 0 to 1")?;
        }
        if let Self::Constant { a, b, c } = self {
            for (name, value) in [("a", a), ("b", b), ("c", c)] {
                require(value.is_finite(), operation, name, value, "finite")?;
            }
            let stays = a > 0.0 && OddPolynomial { a, b, c }.stays();
            let wanted = "with b and c such that values from 0 to 1 stay from 0 to 2 at every step";
            require(stays, operation, "a", a, wanted)?;
        }
        Ok(())
    }

    /// The polynomials for singular values in `[lower, 1]`, `lower` clamped to `[1e-30, 1]`; `count` of them,
    /// then none.
    pub fn polynomials(self, lower: f64, count: usize) -> Polynomials {
        self.on((lower.clamp(1e-30, 1.0), 1.0), count, 0.0)
    }

    /// [`polynomials`](Self::polynomials) for singular values in this interval and products rounded to `eps`.
    pub(crate) fn on(self, (lower, upper): (f64, f64), count: usize, eps: f64) -> Polynomials {
        let stretch = stretch(eps);
        Polynomials { schedule: self, lower, upper, taken: 0, left: count, finish: 0.0, stretch }
    }

    /// As many of them as bring the interval to within `tolerance` of 1, at most [`MAX_STEPS`].
    pub(crate) fn reaching(self, interval: (f64, f64), tolerance: f64, eps: f64) -> Polynomials {
        let mut polynomials = self.on(interval, MAX_STEPS, eps);
        let mut steps = 0;
        while polynomials.error() > tolerance && polynomials.next().is_some() {
            steps += 1;
        }
        self.on(interval, steps, eps)
    }

    /// As many [`polynomials`](Self::polynomials) as bring `[lower, 1]` to within `tolerance` of 1, at most
    /// [`MAX_STEPS`], their count and the distance reached. The last one of [`Minimax`](Self::Minimax) is a
    /// cubic where that is enough: one product less.
    pub fn plan(self, lower: f64, tolerance: f64) -> (Polynomials, usize, f64) {
        self.plan_for(lower, tolerance, 0.0)
    }

    /// [`plan`](Self::plan) for products rounded to `eps`.
    pub(crate) fn plan_for(self, lower: f64, tolerance: f64, eps: f64) -> (Polynomials, usize, f64) {
        let plan = self.reaching((lower.clamp(1e-30, 1.0), 1.0), tolerance, eps);
        let plan = Polynomials { finish: tolerance, ..plan };
        (plan.clone(), plan.left, plan.final_error())
    }

    /// How many steps bring `[lower, 1]` to within `tolerance` of 1, and the distance then reached. At most
    /// [`MAX_STEPS`], where a schedule does not converge.
    pub fn count(self, lower: f64, tolerance: f64) -> (usize, f64) {
        let polynomials = self.reaching((lower.clamp(1e-30, 1.0), 1.0), tolerance, 0.0);
        (polynomials.left, polynomials.final_error())
    }
}

/// No schedule takes more steps: the cubic needs 75 for a lower bound of 1e-12, the minimax quintic 52 for 1e-30.
pub const MAX_STEPS: usize = 100;

/// The steps of a [`Schedule`]; knows the interval that the steps taken leave.
#[derive(Debug, Clone)]
pub struct Polynomials {
    schedule: Schedule,
    lower: f64,
    upper: f64,
    taken: usize,
    left: usize,
    /// The last polynomial may be a cubic if it leaves no more than this.
    finish: f64,
    /// See [`Schedule::Minimax`].
    stretch: f64,
}

impl Polynomials {
    /// The largest `|1 - x|` that the steps taken so far leave, in exact arithmetic.
    pub fn error(&self) -> f64 {
        (1.0 - self.lower).max(self.upper - 1.0).max(0.0)
    }

    /// The error once all are taken.
    pub(crate) fn final_error(&self) -> f64 {
        let mut rehearsal = self.clone();
        rehearsal.by_ref().for_each(drop);
        rehearsal.error()
    }

    /// How many are left.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// The interval that the steps taken so far leave.
    pub(crate) fn interval(&self) -> (f64, f64) {
        (self.lower, self.upper)
    }
}

impl Iterator for Polynomials {
    type Item = OddPolynomial;

    fn next(&mut self) -> Option<OddPolynomial> {
        self.left = self.left.checked_sub(1)?;
        let (l, u) = (self.lower, self.upper);
        let p = match self.schedule {
            Schedule::Cubic => OddPolynomial { a: 1.5, b: -0.5, c: 0.0 },
            Schedule::Muon => OddPolynomial { a: 3.4445, b: -4.7750, c: 2.0315 },
            Schedule::Minimax if u - l > 1.0 || (self.stretch > STRETCH && 2.0 * l < u) => {
                cushioned(l, u, CUSHION).stretched(self.stretch)
            }
            Schedule::Minimax => {
                let cubic = OddPolynomial::minimax_cubic(l, u);
                let enough = self.left == 0 && 1.0 - cubic.at(l) <= self.finish;
                if enough { cubic } else { cushioned(l, u, CUSHION) }
            }
            Schedule::Guarded { safety, cushion } => {
                let p = cushioned(l, u, cushion);
                if self.left > 0 { p.stretched(safety) } else { p }
            }
            Schedule::Published(set) => set.polynomial(self.taken),
            Schedule::Constant { a, b, c } => OddPolynomial { a, b, c },
        };
        self.taken += 1;
        (self.lower, self.upper) = match self.schedule {
            // x (3 - x^2) / 2 increases on [0, 1] and keeps it.
            Schedule::Cubic => (p.at(l), 1.0),
            // Small values grow 3.4-fold until they enter the band that the iteration maps into itself.
            Schedule::Muon => ((p.a * l).min(0.68), 1.21),
            // By equioscillation the minimum is at the lower end and the maximum as far above 1.
            Schedule::Minimax | Schedule::Guarded { .. } => (p.at(l), 2.0 - p.at(l)),
            Schedule::Published(_) | Schedule::Constant { .. } => p.range(l, u),
        };
        Some(p)
    }
}

#[cfg(test)]
mod tests;
