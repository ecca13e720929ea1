//! What can be wrong with a golden case or with a request to it.

use core::fmt;
use std::io;
use std::path::PathBuf;

use safetensors::SafeTensorError;

/// A golden case could not be read, or does not hold what was asked of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum GoldenError {
    /// The file or folder could not be read.
    Io {
        /// What was opened.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is not a safetensors file.
    Format {
        /// Name of the case.
        case: String,
        /// The reader's reason.
        source: SafeTensorError,
    },
    /// The file's metadata or a tensor are not those of a golden case.
    Content {
        /// Name of the case.
        case: String,
        /// What is wrong.
        problem: String,
    },
    /// The case holds nothing of that name.
    Missing {
        /// Name of the case.
        case: String,
        /// What was asked for.
        wanted: String,
        /// What there is.
        present: Vec<String>,
    },
    /// The case holds something else under that name.
    Kind {
        /// Name of the case.
        case: String,
        /// What was asked for.
        wanted: String,
        /// What was found.
        found: String,
    },
}

impl fmt::Display for GoldenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => write!(
                f,
                "cannot read {}: {source} (set {} to the folder of the golden data)",
                path.display(),
                super::DIRECTORY_VARIABLE
            ),
            Self::Format { case, source } => write!(f, "golden case {case}: {source}"),
            Self::Content { case, problem } => write!(f, "golden case {case}: {problem}"),
            Self::Missing { case, wanted, present } => {
                write!(f, "golden case {case} has no {wanted}; it has {}", present.join(", "))
            }
            Self::Kind { case, wanted, found } => write!(f, "golden case {case}: {wanted} is {found}"),
        }
    }
}

impl core::error::Error for GoldenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Format { source, .. } => Some(source),
            Self::Content { .. } | Self::Missing { .. } | Self::Kind { .. } => None,
        }
    }
}
