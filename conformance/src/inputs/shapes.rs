//! Extents that no tile, block, thread or launch divides: what each large operation is tried with.

/// Matrices for the operations entry by entry and for reductions. 65 537 entries are one more than 16 bits count, 1 048 669 are
/// more than 2^20 and beyond what a launch has threads; more than 4 096 rows, and rows beyond 16 bits, which is what a grid has
/// in its second extent.
pub const LARGE: [(usize, usize); 8] = [
    (300, 1100),
    (5003, 61),
    (61, 5003),
    (1, 65_537),
    (65_537, 1),
    (29, 36_161),
    (1_048_669, 1),
    (1, 1_048_669),
];

/// Rows, inner extent and columns of a product; or m, n and k of the operations on an m x n matrix with k columns.
pub type Product = (usize, usize, usize);

/// Products: outputs of 64 x 64 and more with an inner extent of 1 024 and more, outputs of more than 4 096 rows or columns, of
/// more than 2^20 entries, of more rows or columns than 16 bits count; long sums with each remainder of rows and columns modulo 4.
#[must_use]
pub fn large_products() -> [Product; 11] {
    [
        (131, 1100, 97),
        (300, 1100, 61),
        (1100, 300, 67),
        (67, 5003, 61),
        (6, 5003, 7),
        (8, 5003, 6),
        (5003, 37, 61),
        (61, 37, 5003),
        (1031, 9, 1033),
        (65_537, 3, 2),
        (2, 3, 65_537),
    ]
}

/// m, n and k of low-rank operations: the paper's k of 61, and 67, next to which no tile ends.
#[must_use]
pub fn large_factors() -> [Product; 6] {
    [(300, 1100, 61), (1100, 300, 67), (5003, 67, 61), (67, 5003, 67), (1031, 1033, 5), (65_537, 3, 2)]
}

/// For each r below 32 three extents from `least` on with different remainders modulo 32; over all r each extent has every
/// remainder once.
pub fn every_remainder((rows, inner, cols): Product) -> impl Iterator<Item = Product> {
    (0..32).map(move |r| (rows + r, inner + (11 * r + 7) % 32, cols + (5 * r + 3) % 32))
}

/// Rows of 1 to 130 entries: every remainder of vectors and of what is unrolled.
pub fn every_short_row() -> impl Iterator<Item = (usize, usize)> {
    (1..=130).map(|cols| (1, cols))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{LARGE, every_remainder};

    #[test]
    fn every_extent_has_every_remainder() {
        let remainders = |extent: fn((usize, usize, usize)) -> usize| {
            every_remainder((64, 1024, 64)).map(|shape| extent(shape) % 32).collect::<HashSet<_>>().len()
        };
        assert_eq!([remainders(|s| s.0), remainders(|s| s.1), remainders(|s| s.2)], [32; 3]);
    }

    #[test]
    fn the_largest_have_as_many_entries_as_they_claim() {
        let entries = LARGE.map(|(rows, cols)| rows * cols);
        assert_eq!(entries.iter().filter(|count| **count == 1_048_669).count(), 3);
        assert_eq!(entries.iter().filter(|count| **count == 65_537).count(), 2);
    }
}
