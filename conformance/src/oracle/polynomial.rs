//! Iterations `X <- X (a + b X^T X + c (X^T X)^2)`, exactly: every singular value x goes to `x (a + b x^2 + c x^4)`,
//! whether or not that tends to 1.

/// `[a, b, c]` of one step.
pub type OddPolynomial = [f64; 3];

/// Newton and Schulz's step.
pub const NEWTON_SCHULZ: OddPolynomial = [1.5, -0.5, 0.0];

/// Muon's step (Jordan et al. 2024), which does not converge: values end between about 0.7 and 1.2.
pub const MUON: OddPolynomial = [3.4445, -4.7750, 2.0315];

/// The five steps that the authors of Polar Express publish (2505.16932; microsoft/dion).
pub const POLAR_EXPRESS: [OddPolynomial; 5] = [
    [8.156554524902461, -22.48329292557795, 15.878769915207462],
    [4.042929935166739, -2.808917465908714, 0.5000178451051316],
    [3.8916678022926607, -2.772484153217685, 0.5060648178503393],
    [3.285753657755655, -2.3681294933425376, 0.46449024233003106],
    [2.3465413258596377, -1.7097828382687081, 0.42323551169305323],
];

/// What the steps make of singular values, and what rounding may make of it.
#[derive(Clone, Debug)]
pub struct PolynomialIteration {
    /// The values after all steps.
    pub values: Vec<f64>,
    /// How far the result moves, at most, for a change of the start by 1, both in the Frobenius norm: an odd function of
    /// a matrix moves by no more than the largest slope of its scalar function.
    pub lipschitz: f64,
    /// How far the result moves, at most, when each step adds an error of 1 relative to the absolute values that go into
    /// it: `sum_j w_j ||X_j|| L_j` with `w = |a| + |b| ||X||^2 + 2 |c| ||X||^4` and the largest slope L of the steps that
    /// follow.
    pub amplification: f64,
}

impl PolynomialIteration {
    /// All steps, on values of which none is negative.
    ///
    /// `paired`: whether each second step takes its Gram matrix from the first one's, `R' = P R P`, as a program may do to
    /// save products. The error of R' is then relative to `||P||^2 ||R||`, which exceeds `||R'||`.
    #[must_use]
    pub fn run(values: &[f64], polynomials: &[OddPolynomial], paired: bool) -> Self {
        let mut values = values.to_vec();
        // Upper bounds of the values, beyond which rounding does not bring them.
        let mut top = values.iter().fold(0.0_f64, |top, value| top.max(*value)) * 1.01;
        let (lipschitz, mut amplification, mut gain) = (slope(polynomials, top), 0.0, 1.0);
        for (index, &[a, b, c]) in polynomials.iter().enumerate() {
            // The scale of the error of the Gram matrix.
            let gram = if paired && index % 2 == 1 { gain } else { top * top };
            let weight = a.abs() + gram * (b.abs() + 2.0 * c.abs() * top * top);
            let error = weight * norm(&values);
            values.iter_mut().for_each(|x| *x *= a + *x * *x * (b + c * *x * *x));
            let ratio = grid(top).map(|x| (a + x * x * (b + c * x * x)).abs()).fold(0.0, f64::max);
            gain = (ratio * top).powi(2);
            top = grid(top).map(|x| (x * (a + x * x * (b + c * x * x))).abs()).fold(0.0, f64::max) * 1.01;
            amplification += error * slope(&polynomials[index + 1..], top);
        }
        Self { values, lipschitz, amplification }
    }
}

/// `1.01 (sum sigma^8)^(1/8)`, the divisor of [`Normalization::Gram`](spectra_core::linalg::Normalization::Gram).
#[must_use]
pub fn gram_bound(sigma: &[f64]) -> f64 {
    let largest = sigma.iter().fold(f64::MIN_POSITIVE, |largest, sigma| largest.max(*sigma));
    1.01 * largest * sigma.iter().map(|sigma| (sigma / largest).powi(8)).sum::<f64>().powf(0.125)
}

/// Points of `[0, top]`, dense enough for the extrema of a few steps.
fn grid(top: f64) -> impl Iterator<Item = f64> {
    const POINTS: usize = 1024;
    (0..=POINTS).map(move |point| top * point as f64 / POINTS as f64)
}

/// The largest slope on `[0, top]` of all steps together: the product of their slopes on the way of each value.
fn slope(polynomials: &[OddPolynomial], top: f64) -> f64 {
    let of_value = |start: f64| {
        let (mut x, mut slope) = (start, 1.0);
        for [a, b, c] in polynomials {
            let y = x * x;
            slope *= a + y * (3.0 * b + 5.0 * c * y);
            x *= a + y * (b + c * y);
        }
        slope.abs()
    };
    grid(top).map(of_value).fold(0.0, f64::max)
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::{MUON, NEWTON_SCHULZ, POLAR_EXPRESS, PolynomialIteration};
    use crate::distance::max_error;
    use crate::golden::{Golden, names};
    use crate::oracle::Svd;

    #[test]
    fn golden_results_of_muon_and_polar_express_are_reproduced() {
        for name in names("spectral_ops_").unwrap() {
            let case = Golden::load(&name).unwrap();
            let svd = Svd::of(&case.inputs().matrix("X").unwrap()).unwrap();
            let norm = super::norm(&svd.sigma);
            let programs = [
                ("muon_ns5", norm + 1e-7, vec![MUON; 5]),
                ("polar_express5", 1.02 * norm + 1e-6, POLAR_EXPRESS.to_vec()),
            ];
            for (output, divisor, polynomials) in programs {
                let start: Vec<f64> = svd.sigma.iter().map(|sigma| sigma / divisor).collect();
                let values = PolynomialIteration::run(&start, &polynomials, false).values;
                let error =
                    max_error(&svd.with_values(&values).data, &case.outputs().matrix(output).unwrap().data);
                assert!(error <= case.tolerance_of(output).unwrap(), "{name} {output}: {error:e}");
            }
        }
    }

    #[test]
    fn newton_and_schulz_converge_and_small_values_grow_by_the_slope_at_zero() {
        let run = PolynomialIteration::run(&[1.0, 0.5, 1e-9], &[NEWTON_SCHULZ; 7], false);
        assert!((run.values[1] - 1.0).abs() < 1e-12 && run.values[0] == 1.0);
        assert!((run.values[2] / (1e-9 * 1.5_f64.powi(7)) - 1.0).abs() < 1e-12);
        assert!((run.lipschitz / 1.5_f64.powi(7) - 1.0).abs() < 1e-12, "{}", run.lipschitz);
        assert!(run.amplification > run.lipschitz);
    }
}
