//! Numbers that stay where the matrices are.

use super::Result;
use core::fmt::Debug;

/// An operation on two scalars; see [`Scalar::combine`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalarOp {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a b`
    Mul,
    /// `a / b`, IEEE: `0 / 0` is NaN
    Div,
    /// The smaller; NaN if either is NaN.
    Min,
    /// The larger; NaN if either is NaN.
    Max,
    /// `1` if `a < b`, else `0` (also for NaN).
    Less,
}

impl ScalarOp {
    /// The operation on host numbers: the definition every device follows.
    pub fn on_host(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Min if a.is_nan() || b.is_nan() => f64::NAN,
            Self::Max if a.is_nan() || b.is_nan() => f64::NAN,
            Self::Min => a.min(b),
            Self::Max => a.max(b),
            Self::Less => f64::from(a < b),
        }
    }
}

/// A number on the device: a norm, or a coefficient computed from norms.
///
/// On the CPU it is `f64` itself. On a device it is a one-element buffer, so that an optimizer step can turn
/// norms into coefficients without waiting; it must hold at least the backend's element type.
pub trait Scalar: Clone + Debug + Sized {
    /// `a op b`. Does not wait for the device. No cancellation guard, no rounding beyond the scalar's own type.
    fn combine(op: ScalarOp, a: &Self, b: &Self) -> Result<Self>;

    /// The square root; NaN for negative numbers. Does not wait for the device.
    fn sqrt(&self) -> Result<Self>;

    /// The value on the host. **Waits** for the device.
    fn read(&self) -> Result<f64>;

    /// The value if the host has it anyway, without waiting. Algorithms that see `Some` may branch on it
    /// (a rarely needed second pass); those that see `None` take the branch-free form.
    fn known(&self) -> Option<f64> {
        None
    }
}

impl Scalar for f64 {
    fn combine(op: ScalarOp, a: &Self, b: &Self) -> Result<Self> {
        Ok(op.on_host(*a, *b))
    }
    fn sqrt(&self) -> Result<Self> {
        Ok(libm::sqrt(*self))
    }
    fn read(&self) -> Result<f64> {
        Ok(*self)
    }
    fn known(&self) -> Option<f64> {
        Some(*self)
    }
}

/// `factor * scalar`: what matrix operations take as `alpha` and `beta`; a plain number converts with `.into()`.
#[derive(Debug)]
pub struct Coefficient<'a, S> {
    /// The host's part.
    pub factor: f64,
    /// The device's part, 1 if absent.
    pub scalar: Option<&'a S>,
}

impl<S> Clone for Coefficient<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Coefficient<'_, S> {}

impl<S> From<f64> for Coefficient<'_, S> {
    fn from(factor: f64) -> Self {
        Self { factor, scalar: None }
    }
}

impl<'a, S> Coefficient<'a, S> {
    /// The number zero, known on the host: as `beta` it promises that the output is not read.
    pub const ZERO: Self = Self { factor: 0.0, scalar: None };
    /// The number one.
    pub const ONE: Self = Self { factor: 1.0, scalar: None };

    /// `factor * scalar`.
    pub fn device(factor: f64, scalar: &'a S) -> Self {
        Self { factor, scalar: Some(scalar) }
    }

    /// This coefficient times a host number.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self { factor: self.factor * factor, ..self }
    }

    /// Whether it is zero whatever the device's part holds.
    pub fn is_zero(&self) -> bool {
        self.factor == 0.0
    }
}

impl Coefficient<'_, f64> {
    /// The number, where the scalar is a host number.
    pub fn value(&self) -> f64 {
        self.scalar.map_or(self.factor, |s| self.factor * s)
    }
}
