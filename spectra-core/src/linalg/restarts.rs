//! How many steps may go on a Gram matrix alone before it is formed anew.

use super::{OddPolynomial, Polynomials};

/// Points of the interval that are looked at.
const POINTS: usize = 16;

/// The length of the next segment, after which `X <- Q X` and the Gram matrix is formed anew: at least two, then as many as keep
/// the [`Error`] below `limit`. Two cost no accuracy: as many roundings as the steps on X itself have (measured from bf16 to f64).
pub(crate) fn segment(polynomials: &Polynomials, eps: f64, limit: f64) -> usize {
    let mut error = Error::new(polynomials.interval(), eps);
    let fits = |(before, p): &(usize, OddPolynomial)| error.after(p) <= limit || *before < 2;
    polynomials.clone().enumerate().take_while(fits).count()
}

/// The largest relative error that a rounding of the Gram matrix R of X makes in `Q X`, by the recursion of one eigenvalue:
/// stored, R carries errors of norm `nu = u ||R|| / 2`, u = eps / 2, so that an eigenvalue `x^2` is `x^2 -+ nu`, which may be negative. Of
/// `Q = h_k(r_k) ... h_1(r_1)` with `h(r) = a + b r + c r^2` and `r <- r h(r)^2` both ways are followed. For `nu << x^2` it is
/// `nu / (2 x^2)` in the end: the `eps ||R|| / 8 lambda_min` of the form without restarts.
struct Error([Eigenvalue; 2 * POINTS]);

#[derive(Clone, Copy)]
struct Eigenvalue {
    exact: f64,
    rounded: f64,
    /// Of what Q has of it, rounded over exact.
    ratio: f64,
}

impl Error {
    fn new((lower, upper): (f64, f64), eps: f64) -> Self {
        let nu = 0.25 * eps * upper * upper;
        let step = libm::log(upper / lower) / (POINTS - 1) as f64;
        Self(core::array::from_fn(|i| {
            let x = lower * libm::exp(step * (i / 2) as f64);
            let shift = if i % 2 == 0 { -nu } else { nu };
            Eigenvalue { exact: x * x, rounded: x * x + shift, ratio: 1.0 }
        }))
    }

    /// The error when this step is done, too; infinite also where a number has left the range.
    fn after(&mut self, p: &OddPolynomial) -> f64 {
        let mut worst = 0.0_f64;
        for Eigenvalue { exact, rounded, ratio } in &mut self.0 {
            let [h, of_rounded] = [*exact, *rounded].map(|r| p.a + r * (p.b + r * p.c));
            *ratio *= of_rounded / h;
            (*exact, *rounded) = (*exact * h * h, *rounded * of_rounded * of_rounded);
            let error = libm::fabs(*ratio - 1.0);
            worst = if error.is_nan() { f64::INFINITY } else { worst.max(error) };
        }
        worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::Schedule;

    #[test]
    fn fewer_bits_take_more_restarts() {
        // Of the four steps for [5e-3, 1], to a tenth of what they leave.
        let polynomials = Schedule::POLAR_EXPRESS.polynomials(5e-3, 4);
        let limit = 0.1 * polynomials.final_error();
        let lengths = [52, 23, 10, 7].map(|bits| segment(&polynomials, libm::exp2(-f64::from(bits)), limit));
        assert_eq!(lengths, [4, 4, 2, 2]);
    }

    /// Well above the errors of R the whole iteration loses `eps / 8 lambda_min`: the derivative of `r^(-1/2)`.
    #[test]
    fn a_whole_iteration_loses_what_the_root_does() {
        for lower in [0.1, 1e-2] {
            let (plan, ..) = Schedule::Minimax.plan(lower, 1e-12);
            let mut error = Error::new(plan.interval(), 1e-10);
            let last = plan.fold(0.0, |_, p| error.after(&p));
            let ratio = last / (1e-10 / (8.0 * lower * lower));
            assert!((ratio - 1.0).abs() < 1e-3, "{lower}: {ratio}");
        }
    }
}
