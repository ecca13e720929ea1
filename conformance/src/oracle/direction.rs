//! The directions, each from its paper's formulas, with a bound of what rounding may change.
//!
//! Beside every accumulated matrix runs its size, the same recursion on absolute values: rounding errors are relative to
//! that, whatever cancels. All bounds are to first order.

use spectra_core::directions::{AdEmaMix, Adam, Direction, Mars};

use super::OracleError;
use crate::{HostMatrix, Precision, tolerance};

/// A direction of one step.
#[derive(Clone, Debug)]
pub struct Directed {
    /// The direction.
    pub value: HostMatrix,
    /// For each entry, how far a computed one may be off.
    pub error: HostMatrix,
}

/// A matrix, and the sum of the absolute values that went into each entry.
#[derive(Clone, Debug)]
struct Sized {
    value: HostMatrix,
    size: HostMatrix,
}

impl Sized {
    fn zeros((rows, cols): (usize, usize)) -> Self {
        Self { value: HostMatrix::zeros(rows, cols), size: HostMatrix::zeros(rows, cols) }
    }

    fn of(value: &HostMatrix) -> Self {
        Self { value: value.clone(), size: value.map(f64::abs) }
    }

    /// `a self + b other`
    fn combine(&self, a: f64, b: f64, other: &Self) -> Self {
        Self {
            value: self.value.zip(&other.value, |x, y| a * x + b * y),
            size: self.size.zip(&other.size, |x, y| a.abs() * x + b.abs() * y),
        }
    }
}

/// The signs of sums: where rounding can turn one either will do; a sum of zeros is zero.
fn signs(value: &HostMatrix, size: &HostMatrix, relative: f64) -> Directed {
    let turns = |value: f64, size: f64| value.abs() <= relative * size && size != 0.0;
    let error = value.zip(size, |value, size| if turns(value, size) { 2.0 } else { 0.0 });
    Directed { value: value.map(sign), error }
}

/// A direction with its state, in double precision.
#[derive(Clone, Debug)]
pub struct ReferenceDirection {
    rule: Direction,
    precision: Precision,
    steps: usize,
    momentum: Sized,
    slow: Sized,
    /// Of squares; its size is that of the squared sizes.
    second: Sized,
    last: Sized,
}

impl ReferenceDirection {
    /// Before the first step of a parameter of this shape; `precision` is that of the backend to be compared.
    #[must_use]
    pub fn new(rule: Direction, precision: Precision, shape: (usize, usize)) -> Self {
        let zeros = || Sized::zeros(shape);
        Self { rule, precision, steps: 0, momentum: zeros(), slow: zeros(), second: zeros(), last: zeros() }
    }

    /// One step with the gradient, whose entries the backend may know with this relative error only.
    ///
    /// # Errors
    /// [`OracleError::Undefined`] for a direction that it has no formula for.
    pub fn advance(&mut self, gradient: &HostMatrix, gradient_error: f64) -> Result<Directed, OracleError> {
        self.steps += 1;
        let gradient = Sized::of(gradient);
        let relative = tolerance::recursion(self.precision, self.steps) + gradient_error;
        Ok(match self.rule {
            Direction::Momentum(rule) => {
                let c = if rule.averaged { 1.0 - rule.mu } else { 1.0 };
                let Sized { value, size } = self.heavy_ball(&gradient, rule.mu, c, rule.nesterov);
                Directed { value, error: size.map(|size| relative * size) }
            }
            Direction::Signum(rule) => {
                let Sized { value, size } = self.heavy_ball(&gradient, rule.mu, 1.0, rule.nesterov);
                signs(&value, &size, relative)
            }
            Direction::Adam(rule) => self.adam(&rule, &gradient, gradient_error, 0.0),
            Direction::AdEmaMix(rule) => {
                let beta3 = warmed_beta3(&rule, self.steps);
                self.slow = self.slow.combine(beta3, 1.0 - beta3, &gradient);
                let alpha = if self.steps < rule.alpha_warmup as usize {
                    rule.alpha * self.steps as f64 / rule.alpha_warmup as f64
                } else {
                    rule.alpha
                };
                self.adam(&rule.adam, &gradient, gradient_error, alpha)
            }
            Direction::Mars(rule) => self.mars(&rule, &gradient, gradient_error),
            Direction::Lion(rule) => {
                let Sized { value, size } = self.momentum.combine(rule.beta1, 1.0 - rule.beta1, &gradient);
                self.momentum = self.momentum.combine(rule.beta2, 1.0 - rule.beta2, &gradient);
                signs(&value, &size, relative)
            }
            Direction::PolarFirst(_) => {
                return Err(OracleError::Undefined { what: "a polar factor before the momentum" });
            }
        })
    }

    /// `M = mu M + c G`; M, or `c G + mu M`.
    fn heavy_ball(&mut self, gradient: &Sized, mu: f64, c: f64, nesterov: bool) -> Sized {
        self.momentum = self.momentum.combine(mu, c, gradient);
        if nesterov { gradient.combine(c, mu, &self.momentum) } else { self.momentum.clone() }
    }

    /// `(M / (1 - b1^t) + alpha S) / (sqrt(V / (1 - b2^t)) + eps)`, where the entries of the gradient have errors of
    /// `relative` times their size.
    fn adam(&mut self, rule: &Adam, gradient: &Sized, relative: f64, alpha: f64) -> Directed {
        let squares = Sized { value: gradient.value.map(|g| g * g), size: gradient.size.map(|g| g * g) };
        self.momentum = self.momentum.combine(rule.beta1, 1.0 - rule.beta1, gradient);
        self.second = self.second.combine(rule.beta2, 1.0 - rule.beta2, &squares);
        let correction = |beta: f64| 1.0 - beta.powi(i32::try_from(self.steps).unwrap_or(i32::MAX));
        let (first, second) = (correction(rule.beta1), correction(rule.beta2));
        let numerator = self.momentum.combine(1.0 / first, alpha, &self.slow);
        let root = self.second.value.map(|v| (v / second).sqrt());
        let denominator = root.map(|root| root + rule.eps);
        let value = numerator.value.zip(&denominator, |n, d| n / d);

        // Powers in double precision, which differences from 1 amplify.
        let powers = 4.0 * f64::EPSILON * (1.0 / first + 1.0 / second);
        let rounding = tolerance::recursion(self.precision, self.steps);
        // By Cauchy's inequality errors e_s of the gradients change the root of the mean of g_s^2 by that of e_s^2.
        let root_size = self.second.size.map(|v| relative * (v / second).sqrt());
        let root_error = root.zip(&root_size, |root, error| rounding * root + error);
        let of_numerator =
            numerator.size.zip(&denominator, |size, d| (rounding + relative + powers) * size / d);
        let of_denominator = root_error.zip(&denominator, |error, d| error / d);
        let constants = tolerance::elementwise(self.precision, 8) + powers;
        let of_denominator = value.zip(&of_denominator, |value, error| value.abs() * (error + constants));
        Directed { error: of_numerator.zip(&of_denominator, |a, b| a + b), value }
    }

    /// Adam on `C = G + gamma b1 / (1 - b1) (G - G_last)`, scaled to norm 1 if it is longer.
    fn mars(&mut self, rule: &Mars, gradient: &Sized, gradient_error: f64) -> Directed {
        let weight = rule.gamma * rule.adam.beta1 / (1.0 - rule.adam.beta1);
        let corrected = gradient.combine(1.0 + weight, -weight, &self.last);
        self.last = gradient.clone();
        let norm = corrected.value.frobenius_norm();
        let relative = tolerance::elementwise(self.precision, 4) + gradient_error;
        let of_norm = tolerance::norm(self.precision, corrected.value.data.len())
            + relative * corrected.size.frobenius_norm() / norm.max(f64::MIN_POSITIVE);
        let clipped = corrected.combine(1.0 / norm.max(1.0), 0.0, &self.last);
        self.adam(&rule.adam, &clipped, relative + of_norm, 0.0)
    }
}

/// -1, 0 or 1.
fn sign(x: f64) -> f64 {
    f64::from(u8::from(x > 0.0)) - f64::from(u8::from(x < 0.0))
}

/// AdEMAMix's warm-up of b3: half-lives between those of b1 and b3, as its authors' program computes them.
fn warmed_beta3(rule: &AdEmaMix, step: usize) -> f64 {
    if step >= rule.beta3_warmup as usize {
        return rule.beta3;
    }
    let half_life = |beta: f64| 0.5_f64.ln() / (beta + 1e-8).ln() - 1.0;
    let (from, to) = (half_life(rule.adam.beta1), half_life(rule.beta3));
    let at = from + (to - from) * step as f64 / rule.beta3_warmup as f64;
    0.5_f64.powf(1.0 / (1.0 + at))
}

#[cfg(test)]
mod tests {
    use spectra_core::directions::{Direction, Momentum, Signum};

    use super::{ReferenceDirection, sign};
    use crate::{HostMatrix, Precision};

    #[test]
    fn signs_of_sums_that_rounding_may_turn_are_left_open() {
        let rule = Direction::Signum(Signum { mu: 0.5, nesterov: false });
        let mut direction = ReferenceDirection::new(rule, Precision::F32, (1, 3));
        direction.advance(&HostMatrix::from_data(1, 3, vec![2.0, 2.0, 0.0]), 0.0).unwrap();
        // 0.5 * 2 + g: 3, a cancellation to 1e-9, and zero.
        let directed =
            direction.advance(&HostMatrix::from_data(1, 3, vec![-4.0, -1.0 + 1e-9, 0.0]), 0.0).unwrap();
        assert_eq!(directed.value.data, [-1.0, 1.0, 0.0]);
        assert_eq!(directed.error.data, [0.0, 2.0, 0.0]);
        assert_eq!((sign(-0.0), sign(1e-300)), (0.0, 1.0));
    }

    #[test]
    fn polyak_and_nesterov_by_hand() {
        for (rule, expected) in [
            (Momentum::polyak(0.5), [1.0, 2.5]),
            (Momentum { nesterov: true, ..Momentum::polyak(0.5) }, [1.5, 3.25]),
            (Momentum::muon(0.5), [0.75, 1.625]),
        ] {
            let mut direction = ReferenceDirection::new(Direction::Momentum(rule), Precision::F64, (1, 1));
            for (gradient, expected) in [1.0, 2.0].into_iter().zip(expected) {
                let directed = direction.advance(&HostMatrix::column(&[gradient]), 0.0).unwrap();
                assert_eq!(directed.value.data, [expected], "{rule:?}");
                assert!(directed.error.data[0] > 0.0 && directed.error.data[0] < 1e-13);
            }
        }
    }
}
