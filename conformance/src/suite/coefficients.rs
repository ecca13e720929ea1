//! The coefficients that every accumulating operation is tried with.

use spectra_core::backend::{Backend, Coefficient};

use super::{Failure, Subject};

/// A pair `beta`, `alpha` of an operation `self = beta self + alpha f(operands)`, on host and device.
///
/// All numbers are short binary fractions, exact in every precision.
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
    /// Six pairs: a beta of zero, of one and of neither; numbers of the host, of the device, and products of both.
    ///
    /// # Errors
    /// The backend's.
    pub fn all<B: Backend<Scalar = S>>(subject: &Subject<B>) -> Result<Vec<Self>, Failure> {
        let host = |factor| Ok::<_, Failure>(Weight { factor, device: None });
        let device = |factor, value| {
            Ok::<_, Failure>(Weight { factor, device: Some((value, subject.scalar(value)?)) })
        };
        Ok(vec![
            Self { beta: host(0.0)?, alpha: host(1.0)? },
            Self { beta: host(1.0)?, alpha: host(-0.5)? },
            Self { beta: host(-1.5)?, alpha: device(2.0, 0.375)? },
            Self { beta: device(0.5, 1.25)?, alpha: host(1.0)? },
            Self { beta: device(1.0, 0.75)?, alpha: device(-1.0, 0.5)? },
            Self { beta: host(0.0)?, alpha: device(3.0, 0.25)? },
        ])
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
