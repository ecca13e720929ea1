//! The factor of a gradient, as it is on the device.

use spectra_core::backend::{Backend, Gradient, Matrix};

use crate::suite::{Failure, Subject};

/// A number that a gradient is multiplied with; none for 1.
pub(crate) struct Factor<S>(Option<S>);

impl<S> Factor<S> {
    /// 1.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// On the device.
    pub(crate) fn new<B: Backend<Scalar = S>>(subject: &Subject<B>, value: f64) -> Result<Self, Failure> {
        Ok(Self(if value == 1.0 { None } else { Some(subject.scalar(value)?) }))
    }

    /// The gradient of these values.
    pub(crate) fn gradient<'a, M: Matrix<Scalar = S>>(&'a self, values: &'a M) -> Gradient<'a, M> {
        match &self.0 {
            Some(factor) => Gradient::scaled(values, factor),
            None => Gradient::new(values),
        }
    }
}
