//! How large a gradient a rule takes.

use super::UpdateRule;
use crate::backend::{Backend, Error, ErrorKind, Matrix, Result, Scalar};

/// Up to here a finite gradient gives a finite state and step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GradientLimits {
    /// The largest magnitude of an entry.
    pub entry: f64,
    /// The largest Frobenius norm.
    pub norm: f64,
}

/// What a backend makes of [`Matrix::dot`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dots {
    /// The host [knows](Scalar::known) the numbers.
    pub known: bool,
    /// [`Matrix::has_wide_dot`].
    pub wide: bool,
}

/// An error if the gradient, times `scale` if there is one, is too large for the rule. Looks at its entries, and
/// **waits** for the device, only if `bound`, an upper bound of its Frobenius norm, does not exclude that.
///
/// # Errors
/// [`ErrorKind::Range`], and [`ErrorKind::NonFinite`] if the look finds a NaN or an infinity.
pub fn check_gradient<B: Backend>(
    rule: &(impl UpdateRule<B> + ?Sized),
    gradient: &B::Matrix,
    scale: Option<&B::Scalar>,
    bound: f64,
) -> Result<()> {
    let (rows, cols) = gradient.shape();
    let strict = rule.gradient_limits((rows, cols), Dots { known: false, wide: false });
    if bound <= strict.entry.min(strict.norm) {
        return Ok(());
    }
    let largest = gradient.max_abs()?;
    let dots = Dots { known: largest.known().is_some(), wide: gradient.has_wide_dot() };
    let limits = rule.gradient_limits((rows, cols), dots);
    let largest = largest.read()? * scale.map_or(Ok(1.0), Scalar::read)?;
    if !largest.is_finite() {
        return Err(non_finite());
    }
    let norm = bound.min(largest * libm::sqrt(rows as f64 * cols as f64));
    let refuse = |what, value, limit| Err(Error::new("prepare", ErrorKind::Range { what, value, limit }));
    if largest > limits.entry {
        return refuse("the largest entry of the gradient", largest, limits.entry);
    }
    if norm > limits.norm {
        return refuse("the norm of the gradient", norm, limits.norm);
    }
    Ok(())
}

/// The error of a gradient with a NaN or an infinity.
pub(crate) fn non_finite() -> Error {
    Error::new("prepare", ErrorKind::NonFinite { what: "gradient" })
}
