//! The arithmetic types: `f32` and `f64`.

use alloc::vec::Vec;
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
    /// How many bytes it has.
    const BYTES: usize;
    /// Appends the bytes of these numbers, little-endian.
    fn put(values: &[Self], bytes: &mut Vec<u8>);
    /// The number in these [`BYTES`](Self::BYTES) bytes; 0 of another number of them.
    fn get(bytes: &[u8]) -> Self;
    /// That of the two lists which holds this type.
    fn list<'a>(singles: &'a mut Vec<f32>, doubles: &'a mut Vec<f64>) -> &'a mut Vec<Self>;
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
    const BYTES: usize = 4;
    fn put(values: &[Self], bytes: &mut Vec<u8>) {
        values.iter().for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
    }
    #[inline]
    fn get(bytes: &[u8]) -> Self {
        bytes.try_into().map_or(0.0, Self::from_le_bytes)
    }
    fn list<'a>(singles: &'a mut Vec<f32>, _: &'a mut Vec<f64>) -> &'a mut Vec<Self> {
        singles
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
    const BYTES: usize = 8;
    fn put(values: &[Self], bytes: &mut Vec<u8>) {
        values.iter().for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
    }
    #[inline]
    fn get(bytes: &[u8]) -> Self {
        bytes.try_into().map_or(0.0, Self::from_le_bytes)
    }
    fn list<'a>(_: &'a mut Vec<f32>, doubles: &'a mut Vec<f64>) -> &'a mut Vec<Self> {
        doubles
    }
}
