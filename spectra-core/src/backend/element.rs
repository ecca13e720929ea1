//! The arithmetic types: `f32` and `f64`.

use core::fmt;

/// The number type a backend computes in.
///
/// Storage types (bf16, f16) are not elements: they are widened to one when they are read, and weights are rounded once when
/// they are written.
pub trait Element: num_traits::Float + Send + Sync + fmt::Debug + 'static {
    /// `"f32"` or `"f64"`, as saved states name it.
    const NAME: &'static str;
    /// Unit roundoff times two: 2^-23 for `f32`, 2^-52 for `f64`.
    const EPSILON: f64;
    /// The nearest element.
    fn narrow(value: f64) -> Self;
    /// The exact value.
    fn widen(self) -> f64;
}

impl Element for f32 {
    const NAME: &'static str = "f32";
    const EPSILON: f64 = f32::EPSILON as f64;
    #[inline]
    fn narrow(value: f64) -> Self {
        value as f32
    }
    #[inline]
    fn widen(self) -> f64 {
        f64::from(self)
    }
}

impl Element for f64 {
    const NAME: &'static str = "f64";
    const EPSILON: f64 = f64::EPSILON;
    #[inline]
    fn narrow(value: f64) -> Self {
        value
    }
    #[inline]
    fn widen(self) -> f64 {
        self
    }
}
