//! What the solver asks of the smooth function.

use crate::backend::{Backend, Result};

/// A smooth `f` of a matrix. A closure `FnMut(&X, &mut gradient) -> Result<()>` is one without values.
pub trait Objective<B: Backend> {
    /// Writes the gradient of f at `x`, or an unbiased estimate of it, to `gradient`.
    ///
    /// # Errors
    /// The caller's or the backend's; they end the minimisation.
    fn gradient(&mut self, x: &B::Matrix, gradient: &mut B::Matrix) -> Result<()>;

    /// `f(x)`, if it is offered: for the line search and the reports. The default offers none.
    ///
    /// # Errors
    /// As [`gradient`](Self::gradient).
    fn value(&mut self, x: &B::Matrix) -> Result<Option<f64>> {
        let _ = x;
        Ok(None)
    }
}

impl<B: Backend, F: FnMut(&B::Matrix, &mut B::Matrix) -> Result<()>> Objective<B> for F {
    fn gradient(&mut self, x: &B::Matrix, gradient: &mut B::Matrix) -> Result<()> {
        self(x, gradient)
    }
}
