//! Deterministic pseudo-random columns: a counter-based generator, the same on every backend.

use crate::backend::Element;

/// SplitMix64's output function (Steele, Lea, Flood, OOPSLA 2014) of a counter: 64 well-mixed bits.
pub(super) fn mix(counter: u64) -> u64 {
    let mut z = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Entry `(row, col)` of the random matrix with this seed: uniform on [-1, 1), 24 random bits, so that it is
/// exact in `f32` and in `f64`.
pub fn uniform(seed: u64, row: usize, col: usize) -> f64 {
    let bits = mix(mix(seed ^ mix(row as u64)) ^ (col as u64)) >> 40;
    bits as f64 / (1u64 << 23) as f64 - 1.0
}

/// Replaces the zero columns of a row-major matrix with `k` columns by [`uniform`] numbers.
pub fn seed_zero_columns<E: Element>(k: usize, values: &mut [E], seed: u64) {
    for col in 0..k {
        if values.iter().skip(col).step_by(k).all(|x| x.is_zero()) {
            for (row, x) in values.iter_mut().skip(col).step_by(k).enumerate() {
                *x = E::narrow(uniform(seed, row, col));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_is_centred_and_fills_the_interval() {
        let n = 4096;
        let mean: f64 = (0..n).map(|i| uniform(7, i / 64, i % 64)).sum::<f64>() / n as f64;
        let square: f64 = (0..n).map(|i| uniform(7, i / 64, i % 64).powi(2)).sum::<f64>() / n as f64;
        // Standard errors: 1 / sqrt(3 n) = 0.009 and sqrt(4 / 45 / n) = 0.0047; five of each.
        assert!(mean.abs() < 0.045, "{mean}");
        assert!((square - 1.0 / 3.0).abs() < 0.024, "{square}");
    }

    #[test]
    fn only_zero_columns_are_replaced() {
        let mut values = [0.0f32, 2.0, 0.0, 0.0, 0.0, 0.0];
        seed_zero_columns(3, &mut values, 1);
        assert_eq!((values[1], values[4]), (2.0, 0.0));
        assert!(values[0] != 0.0 && values[2] != 0.0 && values[3] != 0.0 && values[5] != 0.0);
    }
}
