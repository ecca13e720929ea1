//! Which part of a matrix is on which rank.

use core::ops::Range;

/// What is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// The rows.
    Rows,
    /// The columns.
    Cols,
}

/// A matrix in parts, one for each rank, of which some may be empty; or [shared](Self::shared) by all ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Division {
    shape: (usize, usize),
    axis: Axis,
    ranks: usize,
    holder: Holder,
}

/// Who has something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Each,
    One(usize),
    All,
}

impl Division {
    /// Rank i has rows (or columns) `i m / N` to `(i + 1) m / N`, rounded down.
    pub fn even(shape: (usize, usize), axis: Axis, ranks: usize) -> Self {
        Self { shape, axis, ranks, holder: Holder::Each }
    }

    /// [`even`](Self::even) along the longer side, the rows of a square.
    pub fn longer(shape: (usize, usize), ranks: usize) -> Self {
        let axis = if shape.1 > shape.0 { Axis::Cols } else { Axis::Rows };
        Self::even(shape, axis, ranks)
    }

    /// Rank `owner` has everything.
    pub fn owned(shape: (usize, usize), owner: usize, ranks: usize) -> Self {
        Self { shape, axis: Axis::Rows, ranks, holder: Holder::One(owner) }
    }

    /// Every rank has the whole, and steps it together with the others: [`Mode::LowRank`](super::Mode::LowRank). There are no parts to send.
    pub fn shared(shape: (usize, usize), ranks: usize) -> Self {
        Self { shape, axis: Axis::Rows, ranks, holder: Holder::All }
    }

    /// The shape of the whole matrix.
    pub fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// What is divided.
    pub fn axis(&self) -> Axis {
        self.axis
    }

    /// Among how many ranks.
    pub fn ranks(&self) -> usize {
        self.ranks
    }

    /// Who has everything, if one has.
    pub fn owner(&self) -> Option<usize> {
        match self.holder {
            Holder::One(owner) => Some(owner),
            Holder::Each | Holder::All => None,
        }
    }

    /// Whether each rank has its part.
    pub fn is_divided(&self) -> bool {
        self.holder == Holder::Each
    }

    /// Whether every rank has the whole.
    pub fn is_shared(&self) -> bool {
        self.holder == Holder::All
    }

    /// The rows, or columns, of a rank.
    pub fn range(&self, rank: usize) -> Range<usize> {
        let extent = if self.axis == Axis::Rows { self.shape.0 } else { self.shape.1 };
        match self.holder {
            Holder::Each => extent * rank / self.ranks..extent * (rank + 1) / self.ranks,
            Holder::One(owner) if owner != rank => 0..0,
            Holder::One(_) | Holder::All => 0..extent,
        }
    }

    /// The shape of a rank's part.
    pub fn part(&self, rank: usize) -> (usize, usize) {
        let len = self.range(rank).len();
        if self.axis == Axis::Rows { (len, self.shape.1) } else { (self.shape.0, len) }
    }

    /// Where the runs of a rank's part begin in the whole matrix, row-major, and how long each is.
    pub fn runs(&self, rank: usize) -> (impl Iterator<Item = usize> + use<>, usize) {
        let ((rows, cols), range) = (self.shape, self.range(rank));
        let (count, first, stride, len) = match self.axis {
            Axis::Rows => (usize::from(!range.is_empty()), range.start * cols, 0, range.len() * cols),
            Axis::Cols => (if range.is_empty() { 0 } else { rows }, range.start, cols, range.len()),
        };
        ((0..count).map(move |row| first + row * stride), len)
    }
}

#[cfg(test)]
mod tests {
    use super::{Axis, Division};

    #[test]
    fn every_entry_is_on_one_rank() {
        for shape in [(7, 3), (3, 7), (2, 2), (0, 4), (5, 0)] {
            for ranks in [1, 2, 3, 4, 7] {
                for division in [
                    Division::even(shape, Axis::Rows, ranks),
                    Division::even(shape, Axis::Cols, ranks),
                    Division::owned(shape, ranks - 1, ranks),
                ] {
                    let mut seen = alloc::vec![0; shape.0 * shape.1];
                    for rank in 0..ranks {
                        let (starts, len) = division.runs(rank);
                        let mut entries = 0;
                        for start in starts {
                            seen[start..start + len].iter_mut().for_each(|times| *times += 1);
                            entries += len;
                        }
                        let (rows, cols) = division.part(rank);
                        assert_eq!(entries, rows * cols, "{division:?} {rank}");
                    }
                    assert!(seen.iter().all(|times| *times == 1), "{division:?}");
                }
            }
        }
    }
}
