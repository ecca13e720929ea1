//! The values of a matrix, in the element type or in 16 bits.

use crate::backend::Element;
use crate::linalg::SixteenBits;
use alloc::vec::Vec;

/// Row-major values: widened when they are read, rounded to nearest when they are written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stored<E> {
    /// In the element type.
    Full(Vec<E>),
    /// In 16 bits.
    Sixteen(SixteenBits, Vec<u16>),
}

impl<E: Element> Stored<E> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Full(values) => values.len(),
            Self::Sixteen(_, values) => values.len(),
        }
    }

    pub(super) fn get(&self, i: usize) -> E {
        match self {
            Self::Full(values) => values[i],
            Self::Sixteen(format, values) => format.from_bits(values[i]),
        }
    }

    pub(super) fn set(&mut self, i: usize, x: E) {
        match self {
            Self::Full(values) => values[i] = x,
            Self::Sixteen(format, values) => values[i] = format.to_bits(x),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = E> {
        (0..self.len()).map(|i| self.get(i))
    }
}
