//! Why a check failed.

use core::fmt;

use spectra_core::backend::Error;

use super::Point;
use crate::golden::GoldenError;
use crate::oracle::OracleError;

/// Why a check failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// A result is further from the exact one than rounding explains.
    Inexact {
        /// Which result, on which input.
        what: String,
        /// Its distance from the exact one; infinite for NaN, infinities and wrong shapes.
        error: f64,
        /// The largest distance that rounding explains.
        tolerance: f64,
        /// What was measured on the way here, this comparison included.
        points: Vec<Point>,
    },
    /// A rule of the traits' contract is broken.
    Rule {
        /// Which rule, where.
        what: String,
    },
    /// The backend refused an operation that the contract allows.
    Backend {
        /// The backend's error.
        error: Error,
    },
    /// The backend panicked.
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The suite itself could not do its part.
    Suite {
        /// What went wrong.
        reason: String,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inexact { what, error, tolerance, .. } => {
                write!(f, "{what}: error {error:.3e} exceeds the tolerance {tolerance:.3e}")
            }
            Self::Rule { what } => f.write_str(what),
            Self::Backend { error } => write!(f, "the backend refused: {error}"),
            Self::Panicked { message } => write!(f, "the backend panicked: {message}"),
            Self::Suite { reason } => write!(f, "the suite could not check this: {reason}"),
        }
    }
}

impl core::error::Error for Failure {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Backend { error } => Some(error),
            _ => None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Backend { error }
    }
}

impl From<OracleError> for Failure {
    fn from(error: OracleError) -> Self {
        Self::Suite { reason: error.to_string() }
    }
}

impl From<&OracleError> for Failure {
    fn from(error: &OracleError) -> Self {
        Self::Suite { reason: error.to_string() }
    }
}

impl From<GoldenError> for Failure {
    fn from(error: GoldenError) -> Self {
        Self::Suite { reason: error.to_string() }
    }
}
