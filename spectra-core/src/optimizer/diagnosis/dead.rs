//! Rows, columns and entries that have had no gradient.

use crate::backend::Element;
use alloc::{vec, vec::Vec};

/// How many rows, columns and entries of a matrix are exactly zero in its gradient and its momentum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Dead {
    /// Rows of zeros; of a single row or column none is told.
    pub rows: usize,
    /// Columns of zeros, likewise.
    pub columns: usize,
    /// Zeros elsewhere.
    pub entries: usize,
    /// Whether all of it is zero; then nothing else is counted.
    pub all: bool,
}

/// Which entries have been seen alive.
pub(super) struct Alive {
    shape: (usize, usize),
    entries: Vec<bool>,
}

impl Alive {
    pub(super) fn new(shape: (usize, usize)) -> Self {
        Self { shape, entries: vec![false; shape.0 * shape.1] }
    }

    /// Those that are not zero here are alive, NaN as well.
    pub(super) fn see<E: Element>(&mut self, values: &[E]) {
        for (alive, value) in self.entries.iter_mut().zip(values) {
            *alive |= !value.is_zero();
        }
    }

    pub(super) fn dead(&self) -> Dead {
        let ((rows, cols), dead) = (self.shape, |alive: &&bool| !**alive);
        let zeros = self.entries.iter().filter(dead).count();
        if zeros == self.entries.len() {
            return Dead { rows: 0, columns: 0, entries: 0, all: true };
        }
        if rows <= 1 || cols <= 1 {
            return Dead { rows: 0, columns: 0, entries: zeros, all: false };
        }
        let mut columns = vec![false; cols];
        let mut dead_rows = 0;
        for row in self.entries.chunks_exact(cols) {
            columns.iter_mut().zip(row).for_each(|(column, alive)| *column |= alive);
            dead_rows += usize::from(!row.contains(&true));
        }
        let dead_columns = columns.iter().filter(dead).count();
        let among_these = dead_rows * cols + dead_columns * rows - dead_rows * dead_columns;
        Dead { rows: dead_rows, columns: dead_columns, entries: zeros - among_these, all: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_columns_and_what_is_left_are_counted_apart() {
        let mut alive = Alive::new((3, 4));
        alive.see(&[0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        let dead = Dead { rows: 1, columns: 2, entries: 1, all: false };
        assert_eq!(alive.dead(), dead);
        // What a momentum remembers is alive.
        alive.see(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, f64::NAN, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(alive.dead(), Dead { rows: 0, columns: 1, entries: 12 - 4 - 3, all: false });
    }

    #[test]
    fn a_vector_has_entries_only_and_zeros_are_all() {
        let mut alive = Alive::new((1, 4));
        assert!(alive.dead().all);
        alive.see(&[0.0f32, 1.0, 0.0, 0.0]);
        assert_eq!(alive.dead(), Dead { rows: 0, columns: 0, entries: 3, all: false });
    }
}
