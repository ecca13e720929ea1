//! Seeded random numbers and orthonormal columns.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};

use crate::HostMatrix;
use crate::oracle::orthonormal_basis;

/// A generator whose seed is the text (FNV-1a, 64 bits).
#[must_use]
pub fn generator(text: &str) -> StdRng {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    StdRng::seed_from_u64(hash)
}

/// Independent standard normal entries.
#[must_use]
pub fn gaussian(rows: usize, cols: usize, rng: &mut StdRng) -> HostMatrix {
    HostMatrix::from_fn(rows, cols, |_, _| StandardNormal.sample(rng))
}

/// `count` orthonormal columns of length `dimension`, in random directions.
///
/// # Panics
/// If there are more columns than dimensions.
#[must_use]
pub fn orthonormal(dimension: usize, count: usize, rng: &mut StdRng) -> HostMatrix {
    orthonormal_basis(&gaussian(dimension, count, rng))
        .expect("a Gaussian matrix is finite and has full rank")
}

#[cfg(test)]
mod tests {
    use super::{gaussian, generator, orthonormal};
    use crate::HostMatrix;
    use crate::distance::relative_error;
    use crate::oracle::product_tn;

    #[test]
    fn the_same_text_gives_the_same_numbers_and_another_text_others() {
        let draw = |text| gaussian(3, 4, &mut generator(text));
        assert_eq!(draw("a"), draw("a"));
        assert_ne!(draw("a"), draw("b"));
    }

    #[test]
    fn columns_are_orthonormal() {
        let q = orthonormal(20, 6, &mut generator("columns"));
        assert!(relative_error(&product_tn(&q, &q), &HostMatrix::identity(6)) < 1e-14);
    }
}
