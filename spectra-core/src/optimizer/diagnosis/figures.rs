//! What is measured of a block.

use super::dead::{Alive, Dead};
use super::subspace::{SubspaceFigures, subspace_figures};
use crate::backend::{Backend, Element, Gradient, Matrix, Result, Scalar, check_same};
use crate::linalg::{SixteenBits, Workspace};
use crate::optimizer::BlockState;
use crate::rules::{Rates, StepRates, UpdateRule};
use crate::state::{MOMENTUM, SUBSPACE};
use alloc::{string::String, vec, vec::Vec};

/// What was measured of one block. What there is not, or is not finite, is `None`.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Figures {
    /// The learning rate of the step.
    pub lr: Option<f64>,
    /// Root mean square of the weights' entries.
    pub weight_rms: Option<f64>,
    /// That of the raw gradient's.
    pub gradient_rms: Option<f64>,
    /// That of the momentum's, before the step.
    pub momentum_rms: Option<f64>,
    /// That of the update's at learning rate 1, without weight decay.
    pub update_rms: Option<f64>,
    /// Whether there was a gradient.
    pub has_gradient: bool,
    /// Gradient and momentum together.
    pub dead: Option<Dead>,
    /// Of the entries that an update would move, the share that rounding to 16 bits leaves where they are; `None` where weights are not
    /// rounded to nearest.
    pub stagnant: Option<f64>,
    /// The cached subspace of tail shrink.
    pub subspace: Option<SubspaceFigures>,
    /// Which of its matrices hold a NaN or an infinity: `gradient`, `weights`, or a buffer's name.
    pub non_finite: Vec<String>,
}

impl Figures {
    /// `lr ||update|| / ||weights||`: by how much a step changes them; `None` for weights of zeros.
    pub fn update_ratio(&self) -> Option<f64> {
        let weights = self.weight_rms.filter(|rms| *rms > 0.0)?;
        Some(self.lr? * self.update_rms? / weights)
    }

    /// Of weights that no step changes. **Waits** for the device.
    ///
    /// # Errors
    /// Those of the device.
    pub fn of_frozen<M: Matrix>(weights: &M) -> Result<Self> {
        let mut figures = Self::default();
        figures.weight_rms = figures.finite_rms("weights", &read(weights)?);
        Ok(figures)
    }

    /// The root mean square, or `None` and a note of what is not finite.
    pub(super) fn finite_rms<E: Element>(&mut self, what: &str, values: &[E]) -> Option<f64> {
        let rms = rms(values);
        if rms.is_none() {
            self.non_finite.push(what.into());
        }
        rms
    }
}

/// What a block is examined with.
#[derive(Debug)]
pub struct Examination<'a, M: Matrix> {
    /// X.
    pub weights: &'a M,
    /// The gradient as it came, if one did; it need not be finite.
    pub gradient: Option<&'a M>,
    /// The same as a step would take it, after the clips; `None` where no step can be taken by it.
    pub stepped: Option<Gradient<'a, M>>,
    /// The rates of that step.
    pub rates: Rates,
    /// The 16 bits in which the weights take updates by rounding to nearest, if they do.
    pub nearest: Option<SixteenBits>,
}

impl<M: Matrix> BlockState<M> {
    /// Measures a block, by a [dry run](Self::observe) where it has a gradient. Nothing of it changes. **Waits** for the device, and reads each matrix
    /// to the host, one after the other.
    ///
    /// # Errors
    /// As [`observe`](Self::observe).
    pub fn examine<B: Backend<Matrix = M>>(
        &self,
        rule: &(impl UpdateRule<B> + ?Sized),
        examination: Examination<'_, M>,
        workspace: &mut Workspace<B>,
    ) -> Result<Figures> {
        let Examination { weights, gradient, stepped, rates, nearest } = examination;
        let mut figures = Figures { has_gradient: gradient.is_some(), ..Figures::default() };
        let mut alive = Alive::new(weights.shape());
        figures.weight_rms = figures.finite_rms("weights", &read(weights)?);
        if let Some(gradient) = gradient {
            check_same("examine", weights, gradient)?;
            let values = read(gradient)?;
            alive.see(&values);
            figures.gradient_rms = figures.finite_rms("gradient", &values);
        }
        figures.see_state(self, weights.shape(), &mut alive)?;
        let has_momentum = self.state.get(MOMENTUM).is_some();
        figures.dead = (gradient.is_some() || has_momentum).then(|| alive.dead());
        drop(alive);

        let basis = self.state.get(SUBSPACE);
        let Some(stepped) = stepped.filter(|_| figures.non_finite.is_empty()) else {
            if let (Some(momentum), Some(basis), true) =
                (self.state.get(MOMENTUM), basis, figures.non_finite.is_empty())
            {
                figures.subspace = subspace_figures(momentum, basis, workspace)?;
            }
            return Ok(figures);
        };
        let seen = self.observe(rule, weights, &stepped, rates, workspace)?;
        figures.lr = Some(seen.rates.lr);
        let update = read(&seen.update)?;
        figures.update_rms = figures.finite_rms("update", &update);
        if let Some(format) = nearest {
            figures.stagnant = stagnant(format, &read(&seen.weights)?, &update, &seen.rates);
        }
        if let (Some(momentum), Some(basis)) = (seen.momentum(), basis) {
            figures.subspace = subspace_figures(momentum, basis, workspace)?;
        }
        Ok(figures)
    }
}

impl Figures {
    /// Looks at every buffer.
    fn see_state<M: Matrix>(
        &mut self,
        block: &BlockState<M>,
        shape: (usize, usize),
        alive: &mut Alive,
    ) -> Result<()> {
        for (name, buffer) in block.state.iter() {
            if name == MOMENTUM && buffer.shape() == shape {
                let values = read(buffer)?;
                alive.see(&values);
                self.momentum_rms = self.finite_rms(name, &values);
            } else if !buffer.max_abs()?.read()?.is_finite() {
                self.non_finite.push(name.into());
            }
        }
        Ok(())
    }
}

fn read<M: Matrix>(matrix: &M) -> Result<Vec<M::Element>> {
    let (rows, cols) = matrix.shape();
    let mut values = vec![M::Element::narrow(0.0); rows * cols];
    matrix.read(&mut values)?;
    Ok(values)
}

/// The root of the mean square, without an overflow; `None` unless all are finite.
pub(super) fn rms<E: Element>(values: &[E]) -> Option<f64> {
    let largest =
        values.iter().map(|x| x.widen().abs()).fold(0.0, |a, b| if b > a || b.is_nan() { b } else { a });
    if largest == 0.0 || !largest.is_finite() {
        return (largest == 0.0).then_some(0.0);
    }
    let sum: f64 = values.iter().map(|x| x.widen() / largest).map(|x| x * x).sum();
    Some(largest * libm::sqrt(sum / values.len() as f64))
}

/// Of the entries that the step would move, the share that stays where it is when the result is rounded to nearest; `None` if it would
/// move none.
fn stagnant<E: Element>(format: SixteenBits, weights: &[E], update: &[E], rates: &StepRates) -> Option<f64> {
    let (mut moved, mut still) = (0usize, 0usize);
    for (x, u) in weights.iter().zip(update).map(|(x, u)| (x.widen(), rates.lr * u.widen())) {
        if u != 0.0 {
            moved += 1;
            still += usize::from(format.to_bits(rates.decay() * x - u) == format.to_bits(x));
        }
    }
    (moved > 0).then(|| still as f64 / moved as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_mean_square_neither_overflows_nor_vanishes() {
        assert_eq!(rms(&[3.0f64, -4.0, 0.0, 0.0]), Some(2.5));
        assert_eq!(rms(&[0.0f32; 3]), Some(0.0));
        assert_eq!(rms::<f32>(&[]), Some(0.0));
        assert_eq!(rms(&[1e300f64, -1e300]), Some(1e300));
        assert_eq!(rms(&[1e-300f64, 1e-300]), Some(1e-300));
        assert_eq!(rms(&[1.0f64, f64::NAN, 2.0]), None);
        assert_eq!(rms(&[1.0f32, f32::NEG_INFINITY]), None);
    }

    /// At 1 the spacing of bf16 is 2^-7 above and 2^-8 below.
    #[test]
    fn what_is_below_half_a_unit_stands_still() {
        let rates = StepRates { lr: 1.0, weight_decay: 0.0, clip_factor: 1.0, step: 0 };
        let share = |update: &[f64]| stagnant(SixteenBits::Bf16, &[1.0, 1.0, 1.0, 0.0], update, &rates);
        let half = 1.0 / 256.0;
        assert_eq!(share(&[-0.9 * half, -1.1 * half, 0.4 * half, 1e-9]), Some(0.5));
        assert_eq!(share(&[0.0; 4]), None);
        // A decay alone is no update, but takes part in the rounding.
        let decayed = StepRates { weight_decay: 0.5, ..rates };
        assert_eq!(stagnant(SixteenBits::Bf16, &[1.0], &[1e-9], &decayed), Some(0.0));
    }
}
