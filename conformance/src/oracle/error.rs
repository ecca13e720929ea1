//! Why the oracle declines to answer.

use core::fmt;

/// The oracle has no exact result to offer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum OracleError {
    /// The matrix holds a NaN or an infinity.
    NotFinite,
    /// The decomposition did not converge.
    NoConvergence,
    /// The oracle has no formula for this.
    Undefined {
        /// What was asked for.
        what: &'static str,
    },
    /// The decomposition failed its own check.
    Inaccurate {
        /// Which property failed.
        property: &'static str,
        /// The measured deviation.
        measured: f64,
        /// What rounding explains.
        tolerance: f64,
    },
}

impl fmt::Display for OracleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite => f.write_str("the oracle cannot decompose a matrix that is not finite"),
            Self::NoConvergence => f.write_str("the oracle's decomposition did not converge"),
            Self::Undefined { what } => write!(f, "the oracle has no reference for {what}"),
            Self::Inaccurate { property, measured, tolerance } => {
                write!(
                    f,
                    "the oracle's decomposition is inaccurate: {property} {measured:e} exceeds {tolerance:e}"
                )
            }
        }
    }
}

impl core::error::Error for OracleError {}
