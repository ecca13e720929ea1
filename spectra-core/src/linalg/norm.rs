//! Frobenius norms whose squares may leave the range of the numbers.

use crate::backend::{Backend, Coefficient, Element, Matrix, Result, Scalar, ScalarOp};

/// `||X|| = unit sqrt(squares)` with `squares = ||X / unit||^2`, on the device; X may be several matrices.
///
/// The unit is 1 where the plain sum of squares tells the norm ([`squares_suffice`]), else about the largest entry
/// ([`norm_unit`]). A factor made of the norm is one of `X / unit`: in the range of the numbers where one of X is not.
#[derive(Debug, Clone)]
pub struct UnitNorm<S> {
    unit: S,
    squares: S,
}

impl<S: Scalar> UnitNorm<S> {
    /// `sqrt(squares)`.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn plain<B: Backend<Scalar = S>>(squares: S, backend: &B) -> Result<Self> {
        Ok(Self { unit: backend.scalar(1.0)?, squares })
    }

    /// `unit sqrt(squares)`.
    pub fn in_units(unit: S, squares: S) -> Self {
        Self { unit, squares }
    }

    /// `f` with `f (X / unit) = min(1, limit / (||X|| + eps)) X`. Does not wait.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn clip_factor<B: Backend<Scalar = S>>(&self, limit: f64, eps: f64, backend: &B) -> Result<S> {
        let eps = S::combine(ScalarOp::Div, &backend.scalar(eps)?, &self.unit)?;
        let norm = S::combine(ScalarOp::Add, &self.squares.sqrt()?, &eps)?;
        let factor = S::combine(ScalarOp::Div, &backend.scalar(limit)?, &norm)?;
        S::combine(ScalarOp::Min, &factor, &self.unit)
    }

    /// The norm. **Waits** for the device.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn read(&self) -> Result<f64> {
        Ok(self.unit.read()? * libm::sqrt(self.squares.read()?))
    }
}

/// Whether a plain sum of `entries` squares tells the norm, and its inverse is in the range of the elements with room for
/// coefficients. `value`: the sum, if the host has looked at it.
///
/// Squares below the smallest normal number are lost or inexact by no more than that; the sum must be large enough for that
/// not to matter. Sums in `f64` of `f32` entries are always right (`has_wide_dot`: [`Matrix::has_wide_dot`]); a host that has not
/// looked at them takes them as they are.
pub fn squares_suffice<E: Element>(value: Option<f64>, entries: usize, has_wide_dot: bool) -> bool {
    let max = E::max_value().widen();
    let is_wide = has_wide_dot && (max * max).is_finite();
    let Some(value) = value else { return is_wide };
    let lost = E::min_positive_value().widen() / E::EPSILON * entries as f64;
    (is_wide || value >= lost) && libm::sqrt(value) <= far::<E>()
}

/// A unit for a norm: the largest entry, within bounds whose inverses are numbers. Does not wait.
///
/// # Errors
/// Those of the backend.
pub fn norm_unit<B: Backend>(largest: &B::Scalar, backend: &B) -> Result<B::Scalar> {
    let far = far::<B::Element>();
    let unit = B::Scalar::combine(ScalarOp::Max, largest, &backend.scalar(1.0 / far)?)?;
    B::Scalar::combine(ScalarOp::Min, &unit, &backend.scalar(far)?)
}

/// `max^(3/4)`: the fourth root of the range is left for entries beyond it, and its square for theirs.
fn far<E: Element>() -> f64 {
    let root = libm::sqrt(E::max_value().widen());
    root * libm::sqrt(root)
}

/// The norm of `x`, which is divided by the unit in its place. `finite`: any matrix of that shape with finite entries.
pub(crate) fn divide_by_unit<B: Backend>(
    x: &mut B::Matrix,
    finite: &B::Matrix,
    backend: &B,
) -> Result<UnitNorm<B::Scalar>> {
    let (squares, (rows, cols)) = (x.dot(x)?, x.shape());
    if squares_suffice::<B::Element>(squares.known(), rows * cols, x.has_wide_dot()) {
        return UnitNorm::plain(squares, backend);
    }
    let unit = norm_unit(&x.max_abs()?, backend)?;
    let inverse = B::Scalar::combine(ScalarOp::Div, &backend.scalar(1.0)?, &unit)?;
    x.scale_add(Coefficient::device(1.0, &inverse), Coefficient::ZERO, finite)?;
    Ok(UnitNorm::in_units(unit, x.dot(x)?))
}

#[cfg(test)]
mod tests {
    use super::divide_by_unit;
    use crate::backend::Element;
    use crate::dense::{Dense, DenseMatrix};

    /// `||X||` and `||f X||` against `sqrt(entries) size` and its clip to 1, for entries of one size.
    fn clipped_norm<E: Element>(size: f64) {
        let entries = 12.0_f64;
        let mut x = DenseMatrix::from_fn(3, 4, |i, j| E::narrow(if (i + j) % 2 == 0 { size } else { -size }));
        let size = x.values()[0].widen();
        let other = x.clone();
        let norm = divide_by_unit(&mut x, &other, &Dense::new()).unwrap();
        let exact = size * entries.sqrt();
        let relative = |computed: f64, exact: f64| (computed / exact - 1.0).abs();
        if exact.is_finite() {
            assert!(relative(norm.read().unwrap(), exact) < 8.0 * E::EPSILON, "{size:e}");
        }
        let factor = norm.clip_factor(1.0, 0.0, &Dense::<E>::new()).unwrap();
        let clipped = factor * x.values()[0].widen();
        let wanted = size.min(1.0 / entries.sqrt());
        assert!(relative(clipped, wanted) < 8.0 * E::EPSILON, "{size:e}: {clipped:e}, not {wanted:e}");
        // The factor is one that the elements have.
        assert!(E::narrow(factor) >= E::min_positive_value() && E::narrow(factor).is_finite(), "{size:e}");
    }

    #[test]
    fn norms_neither_overflow_nor_vanish() {
        for size in [1e-37, 1e-30, 1e-20, 1e-10, 1.0, 1e10, 1e20, 1e30, 3e38] {
            clipped_norm::<f32>(size);
            clipped_norm::<f64>(size);
        }
        for size in [1e-307, 1e-200, 1e-160, 1e160, 1e200, 1.7e308] {
            clipped_norm::<f64>(size);
        }
        clipped_norm::<f64>(5e-324_f64.sqrt());
    }
}
