//! How a matrix is distributed.

use super::super::Axis;

/// How a matrix that is not whole on every rank is distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Each rank has some of its rows.
    Rows,
    /// Each rank has some of its columns.
    Cols,
    /// Each rank has a summand of its shape: the matrix is their sum, which nobody has.
    Summands,
}

impl Spread {
    /// What is divided, if parts are.
    pub fn axis(self) -> Option<Axis> {
        match self {
            Self::Rows => Some(Axis::Rows),
            Self::Cols => Some(Axis::Cols),
            Self::Summands => None,
        }
    }
}

impl From<Axis> for Spread {
    fn from(axis: Axis) -> Self {
        match axis {
            Axis::Rows => Self::Rows,
            Axis::Cols => Self::Cols,
        }
    }
}
