//! The coefficients that every accumulating operation is tried with.

use spectra_core::backend::{Backend, Coefficient};

use super::{Failure, Subject};

/// A pair `beta`, `alpha` of an operation `self = beta self + alpha f(operands)`, on host and device.
///
/// Six are short binary fractions, exact in every precision: their results need no allowance. The others are not: a
/// coefficient that passes through half the width shows.
#[derive(Debug)]
pub struct Weights<S> {
    beta: Weight<S>,
    alpha: Weight<S>,
}

#[derive(Debug)]
struct Weight<S> {
    factor: f64,
    device: Option<(f64, S)>,
}

impl<S> Weight<S> {
    fn coefficient(&self) -> Coefficient<'_, S> {
        match &self.device {
            Some((_, scalar)) => Coefficient::device(self.factor, scalar),
            None => self.factor.into(),
        }
    }

    fn value(&self) -> f64 {
        self.factor * self.device.as_ref().map_or(1.0, |(value, _)| *value)
    }
}

impl<S> Weights<S> {
    /// Nine pairs: a beta of zero, of one and of neither; numbers of the host, of the device, and products of both.
    ///
    /// # Errors
    /// The backend's.
    pub fn all<B: Backend<Scalar = S>>(subject: &Subject<B>) -> Result<Vec<Self>, Failure> {
        let short = [
            ((0.0, None), (1.0, None)),
            ((1.0, None), (-0.5, None)),
            ((-1.5, None), (2.0, Some(0.375))),
            ((0.5, Some(1.25)), (1.0, None)),
            ((1.0, Some(0.75)), (-1.0, Some(0.5))),
            ((0.0, None), (3.0, Some(0.25))),
        ];
        let mut all = Self::few(subject)?;
        for (beta, alpha) in short {
            all.push(Self::pair(subject, beta, alpha)?);
        }
        Ok(all)
    }

    /// The three of them that are no short fractions, for what takes long: output unread, beta of the host, of the device.
    ///
    /// # Errors
    /// The backend's.
    pub fn few<B: Backend<Scalar = S>>(subject: &Subject<B>) -> Result<Vec<Self>, Failure> {
        Ok(vec![
            Self::pair(subject, (0.0, None), (-1.0 / 3.0, None))?,
            Self::pair(subject, (0.7, None), (1.1, Some(-0.3)))?,
            Self::pair(subject, (0.9, Some(1.0 / 7.0)), (0.6, None))?,
        ])
    }

    /// beta and alpha, each the host's factor and the device's number.
    fn pair<B: Backend<Scalar = S>>(
        subject: &Subject<B>,
        beta: (f64, Option<f64>),
        alpha: (f64, Option<f64>),
    ) -> Result<Self, Failure> {
        let weight = |(factor, value): (f64, Option<f64>)| {
            let device = value.map(|value| Ok::<_, Failure>((value, subject.scalar(value)?))).transpose()?;
            Ok::<_, Failure>(Weight { factor, device })
        };
        Ok(Self { beta: weight(beta)?, alpha: weight(alpha)? })
    }

    /// beta, as operations take it.
    pub fn beta(&self) -> Coefficient<'_, S> {
        self.beta.coefficient()
    }

    /// alpha, as operations take it.
    pub fn alpha(&self) -> Coefficient<'_, S> {
        self.alpha.coefficient()
    }

    /// The number that beta is.
    #[must_use]
    pub fn beta_value(&self) -> f64 {
        self.beta.value()
    }

    /// The number that alpha is.
    #[must_use]
    pub fn alpha_value(&self) -> f64 {
        self.alpha.value()
    }

    /// Whether the operation promises not to read its output.
    #[must_use]
    pub fn output_is_unread(&self) -> bool {
        self.beta().is_zero()
    }
}

impl<S> core::fmt::Display for Weights<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let side = |weight: &Weight<S>| if weight.device.is_some() { "device" } else { "host" };
        write!(
            f,
            "beta = {} ({}), alpha = {} ({})",
            self.beta_value(),
            side(&self.beta),
            self.alpha_value(),
            side(&self.alpha)
        )
    }
}
