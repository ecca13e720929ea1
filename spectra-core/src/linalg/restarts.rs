//! How many steps may go on a Gram matrix alone before it is formed anew.

use super::Polynomials;

/// Points of the interval that are looked at.
const POINTS: usize = 16;

/// The length of the next segment, after which `X <- Q X` and the Gram matrix is formed anew: at least two, then as many as keep
/// [`amplified`] below `limit`. Two cost no accuracy: as many roundings as the steps on X itself have (measured from bf16 to f64).
pub(crate) fn segment(polynomials: &Polynomials, eps: f64, limit: f64) -> usize {
    let most = polynomials.left();
    let mut length = most.min(2);
    while length < most && amplified(polynomials, length + 1, eps) <= limit {
        length += 1;
    }
    length
}

/// The largest relative error that a rounding of the Gram matrix R of X makes in `Q X` after so many steps, by the recursion of one eigenvalue:
/// stored, R carries errors of norm `nu = u ||R|| / 2`, u = eps / 2, so that an eigenvalue `x^2` is `x^2 -+ nu`, which may be negative. Of
/// `Q = h_k(r_k) ... h_1(r_1)` with `h(r) = a + b r + c r^2` and `r <- r h(r)^2` both ways are followed. For `nu << x^2` it is
/// `nu / (2 x^2)` in the end: the `eps ||R|| / 8 lambda_min` of the form without restarts.
fn amplified(polynomials: &Polynomials, steps: usize, eps: f64) -> f64 {
    let (lower, upper) = polynomials.interval();
    let nu = 0.25 * eps * upper * upper;
    let step = libm::log(upper / lower) / (POINTS - 1) as f64;
    let mut worst = 0.0_f64;
    for point in 0..POINTS {
        let x = lower * libm::exp(step * point as f64);
        for shift in [-nu, nu] {
            let (mut exact, mut rounded, mut ratio) = (x * x, x * x + shift, 1.0);
            for p in polynomials.clone().take(steps) {
                let [h, of_rounded] = [exact, rounded].map(|r| p.a + r * (p.b + r * p.c));
                ratio *= of_rounded / h;
                (exact, rounded) = (exact * h * h, rounded * of_rounded * of_rounded);
            }
            let error = libm::fabs(ratio - 1.0);
            // Also of what has left the range.
            worst = if error.is_nan() { f64::INFINITY } else { worst.max(error) };
        }
    }
    worst
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
            let (plan, steps, _) = Schedule::Minimax.plan(lower, 1e-12);
            let ratio = amplified(&plan, steps, 1e-10) / (1e-10 / (8.0 * lower * lower));
            assert!((ratio - 1.0).abs() < 1e-3, "{lower}: {ratio}");
        }
    }
}
