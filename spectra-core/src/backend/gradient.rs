//! A gradient and the factor it is to be multiplied with.

use super::{Coefficient, Matrix};

/// A caller's gradient `G` together with the factor of the global norm clip.
///
/// The caller's values are never scaled or overwritten; every use multiplies by `scale` on the fly.
#[derive(Debug)]
pub struct Gradient<'a, M: Matrix> {
    /// The gradient as the caller has it.
    pub values: &'a M,
    /// The factor. Squares are those of the product, `(scale G) o (scale G)`: `G o G` alone may leave the range of the
    /// numbers, and so may the factor's square.
    pub scale: Coefficient<'a, M::Scalar>,
}

impl<M: Matrix> Clone for Gradient<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Matrix> Copy for Gradient<'_, M> {}

impl<'a, M: Matrix> Gradient<'a, M> {
    /// The gradient as it is.
    pub fn new(values: &'a M) -> Self {
        Self { values, scale: Coefficient::ONE }
    }

    /// The gradient times a device scalar.
    pub fn scaled(values: &'a M, scale: &'a M::Scalar) -> Self {
        Self { values, scale: Coefficient::device(1.0, scale) }
    }

    /// Whether the values are the gradient: the factor is the host's 1.
    pub fn is_plain(&self) -> bool {
        self.scale.scalar.is_none() && self.scale.factor == 1.0
    }
}
