//! What can go wrong, said with the operation and, where there is one, the parameter's name.

use crate::distributed::Lost;
use alloc::boxed::Box;
use core::fmt;

/// The result of every fallible call of this crate.
pub type Result<T> = core::result::Result<T, Error>;

/// What went wrong. New kinds may be added.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Two operands do not fit together.
    Shape {
        /// Rows and columns the operation needs.
        expected: (usize, usize),
        /// Rows and columns it was given.
        found: (usize, usize),
    },
    /// A NaN or an infinity where finite numbers are required.
    NonFinite {
        /// What held it, for example `"gradient"`.
        what: &'static str,
    },
    /// A finite number too large for what is computed from it in the element type.
    Range {
        /// What is too large, for example `"the largest entry of the gradient"`.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The largest that is taken.
        limit: f64,
    },
    /// A number outside its domain, for example a negative learning rate.
    Argument {
        /// The argument's name.
        name: &'static str,
        /// The value given.
        value: f64,
        /// What it must satisfy.
        requirement: &'static str,
    },
    /// A name that does not exist or exists twice, or a pattern that matches nothing.
    Name {
        /// The offending name or pattern.
        name: Box<str>,
        /// Why it was refused.
        reason: &'static str,
    },
    /// A saved state that is corrupt, truncated, or of another optimizer, model or version.
    State {
        /// What does not fit.
        reason: &'static str,
    },
    /// An earlier step failed after something had changed: weights and state are of two different steps. Restore both.
    NeedsRestore,
    /// A gradient that has to be there is not.
    MissingGradient {
        /// Which, and what may have happened.
        hint: &'static str,
    },
    /// Something this backend does not offer.
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// The ranks of a group can no longer work together.
    Lost(Lost),
    /// The ranks of a group do not do the same thing: nothing was changed on any of them.
    Disagree {
        /// The first that differs from rank 0.
        rank: usize,
        /// In what.
        what: Box<str>,
    },
    /// Another rank of the group refused; nothing was changed here, either.
    Elsewhere {
        /// Which.
        rank: usize,
        /// What it said.
        message: Box<str>,
    },
    /// The framework or driver below reported an error.
    Device(Box<dyn core::error::Error + Send + Sync>),
}

/// An error of this crate: its [`kind`](Error::kind), the operation, and the parameter it concerns.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    operation: &'static str,
    parameter: Option<Box<str>>,
}

impl Error {
    /// An error of `kind` that happened in `operation`.
    pub fn new(operation: &'static str, kind: ErrorKind) -> Self {
        Self { kind, operation, parameter: None }
    }

    /// Shapes that do not fit.
    pub fn shape(operation: &'static str, expected: (usize, usize), found: (usize, usize)) -> Self {
        Self::new(operation, ErrorKind::Shape { expected, found })
    }

    /// An argument outside its domain.
    pub fn argument(
        operation: &'static str,
        name: &'static str,
        value: f64,
        requirement: &'static str,
    ) -> Self {
        Self::new(operation, ErrorKind::Argument { name, value, requirement })
    }

    /// An error of the framework or driver below.
    pub fn device(
        operation: &'static str,
        source: impl Into<Box<dyn core::error::Error + Send + Sync>>,
    ) -> Self {
        Self::new(operation, ErrorKind::Device(source.into()))
    }

    /// The same error, naming the parameter it concerns (an inner name is kept).
    #[must_use]
    pub fn for_parameter(mut self, name: &str) -> Self {
        self.parameter.get_or_insert_with(|| name.into());
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Whether it is an [`ErrorKind::NonFinite`].
    pub(crate) fn is_non_finite(&self) -> bool {
        matches!(self.kind, ErrorKind::NonFinite { .. })
    }

    /// The operation that refused.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The name of the parameter concerned, if there is one.
    pub fn parameter(&self) -> Option<&str> {
        self.parameter.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.parameter {
            write!(f, "parameter `{name}`: ")?;
        }
        write!(f, "{}: ", self.operation)?;
        match &self.kind {
            ErrorKind::Shape { expected: (m, n), found: (a, b) } => {
                write!(f, "expected a {m} x {n} matrix, found {a} x {b}")
            }
            ErrorKind::NonFinite { what } => write!(f, "the {what} holds a NaN or an infinity"),
            ErrorKind::Range { what, value, limit } => {
                write!(f, "{what} is {value:e}, and the rule takes {limit:e} at most (clip the norm)")
            }
            ErrorKind::Argument { name, value, requirement } => {
                write!(f, "{name} = {value} must be {requirement}")
            }
            ErrorKind::Name { name, reason } => write!(f, "`{name}` {reason}"),
            ErrorKind::State { reason } => write!(f, "saved state refused: {reason}"),
            ErrorKind::NeedsRestore => f.write_str(
                "an earlier step failed here after it had begun, so weights and state belong to two different steps: \
                 restore both from a checkpoint",
            ),
            ErrorKind::MissingGradient { hint } => write!(f, "no gradient: {hint}"),
            ErrorKind::Unsupported { what } => write!(f, "{what} is not supported by this backend"),
            ErrorKind::Lost(lost) => {
                write!(f, "{lost}: the group of ranks is at its end, make a new one and restore a checkpoint")
            }
            ErrorKind::Disagree { rank, what } => write!(f, "rank {rank} has another {what} than rank 0"),
            ErrorKind::Elsewhere { rank, message } => write!(f, "on rank {rank}: {message}"),
            ErrorKind::Device(source) => write!(f, "{source}"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.kind {
            ErrorKind::Device(source) => Some(source.as_ref()),
            _ => None,
        }
    }
}

/// `Ok` when `ok`, else an [`ErrorKind::Argument`] error; NaN must make `ok` false.
pub(crate) fn require(
    ok: bool,
    operation: &'static str,
    name: &'static str,
    value: f64,
    requirement: &'static str,
) -> Result<()> {
    if ok { Ok(()) } else { Err(Error::argument(operation, name, value, requirement)) }
}
