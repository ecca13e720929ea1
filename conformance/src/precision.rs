//! The floating-point formats that the suite judges.

use core::fmt;

use spectra_core::backend::Element;

/// A floating-point format in which a backend computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Precision {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
}

impl Precision {
    /// Every precision, lowest first.
    pub const ALL: [Self; 2] = [Self::F32, Self::F64];

    /// The precision of a backend's element type.
    ///
    /// # Panics
    /// If the element type is neither `f32` nor `f64`.
    #[must_use]
    pub fn of<E: Element>() -> Self {
        match E::NAME {
            "f32" => Self::F32,
            "f64" => Self::F64,
            other => panic!("the suite has no tolerances for elements of type {other}"),
        }
    }

    /// Unit roundoff u: rounding to nearest changes a normal number by at most this fraction.
    #[must_use]
    pub fn unit_roundoff(self) -> f64 {
        match self {
            Self::F32 => f64::from(f32::EPSILON) / 2.0,
            Self::F64 => f64::EPSILON / 2.0,
        }
    }

    /// The smallest positive normal number.
    #[must_use]
    pub fn min_positive(self) -> f64 {
        match self {
            Self::F32 => f64::from(f32::MIN_POSITIVE),
            Self::F64 => f64::MIN_POSITIVE,
        }
    }

    /// `value` rounded to the nearest number of this precision.
    #[must_use]
    pub fn round(self, value: f64) -> f64 {
        match self {
            Self::F32 => f64::from(value as f32),
            Self::F64 => value,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Precision;

    #[test]
    fn unit_roundoff_is_the_largest_relative_change() {
        for precision in Precision::ALL {
            let u = precision.unit_roundoff();
            assert_eq!(precision.round(1.0 + 2.0 * u), 1.0 + 2.0 * u);
            if precision == Precision::F32 {
                assert_eq!(precision.round(1.0 + 0.99 * u), 1.0);
                assert_eq!(precision.round(1.0 + 1.01 * u), 1.0 + 2.0 * u);
            }
        }
    }
}
