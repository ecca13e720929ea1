//! Numbers of 16 bits, and rounding to them at random.

use super::random::mix;
use crate::backend::Element;

/// A 16-bit type in which weights are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SixteenBits {
    /// 8 bits of precision, the exponents of `f32`.
    Bf16,
    /// 11 bits of precision, largest number 65504.
    F16,
}

/// Added to the counter from one number of a stream to the next: SplitMix64's.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

impl SixteenBits {
    /// Bits after the point, the exponent of the smallest normal number, and the largest number.
    pub fn form(self) -> (i32, i32, f64) {
        match self {
            // (2 - 2^-7) 2^127
            Self::Bf16 => (7, -126, 255.0 * f64::from_bits((1023 + 120) << 52)),
            Self::F16 => (10, -14, 65504.0),
        }
    }

    /// `x` as one of the two numbers of this type next to it, the farther from zero with probability `(|x| - low) / (high - low)`, so
    /// that the mean is `x`. `draw`: 24 random bits, of which `f32` numbers in bf16's range need 16. A number of the type stays what it is, and so
    /// does what is beyond its largest, and NaN.
    #[inline]
    pub fn round<E: Element>(self, x: E, draw: u32) -> E {
        let (precision, smallest, largest) = self.form();
        let value = x.widen();
        let magnitude = value.abs();
        // Also NaN.
        if magnitude.partial_cmp(&largest).is_none_or(core::cmp::Ordering::is_gt) {
            return x;
        }
        let exponent = (magnitude.to_bits() >> 52) as i32 - 1023;
        // The unit of the last place, a power of two: dividing by it is exact, and so is the sum, of 8 + 1 or 11 + 1 bits before the point and
        // at most 24 after it for every f32 whose last bit is above 2^-24 units; the sum's rounding shifts other probabilities by 2^-41.
        let unit = f64::from_bits(((exponent.max(smallest) - precision + 1023) as u64) << 52);
        let whole = (magnitude / unit + f64::from(draw) / f64::from(1 << 24)) as u64;
        E::narrow((whole as f64 * unit).copysign(value))
    }

    /// [Rounds](Self::round) row-major values, of which the first has the number `first`, each by its own draw: number `i` of the stream with
    /// this seed, SplitMix64's (Steele, Lea, Flood, OOPSLA 2014), which depends on nothing else.
    pub fn round_all<E: Element>(self, values: &mut [E], seed: u64, first: usize) {
        for (i, x) in values.iter_mut().enumerate() {
            let bits = mix(seed.wrapping_add(STRIDE.wrapping_mul((first + i) as u64)));
            *x = self.round(*x, (bits >> 40) as u32);
        }
    }
}

/// The seed of one step of one matrix.
pub(crate) fn seed_of(seed: u64, name: u64, step: u64) -> u64 {
    mix(mix(seed ^ mix(name)) ^ step)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: u32 = 1 << 23;

    #[test]
    fn numbers_of_the_type_stay_what_they_are() {
        for (format, values) in [
            (SixteenBits::Bf16, [0.0, -0.0, 1.0, -3.0, 3.389_531_4e38, 9.183_55e-41, f32::INFINITY, 3.4e38]),
            (SixteenBits::F16, [0.0, -0.0, 1.0, -3.0, 65504.0, 5.960_464_5e-8, f32::INFINITY, 1e5]),
        ] {
            for x in values {
                for draw in [0, HALF, (1 << 24) - 1] {
                    assert_eq!(format.round(x, draw).to_bits(), x.to_bits(), "{format:?} {x} {draw}");
                }
            }
            assert!(format.round(f32::NAN, 0).is_nan());
        }
    }

    /// `draw` of `2^24` draws, all different: exactly the share `(x - low) / (high - low)` of them rounds up.
    #[test]
    fn the_share_that_rounds_up_is_the_distance() {
        // Units in the last place: 2^-7 (bf16) and 2^-10 (f16) at 1, 2^-133 and 2^-24 below the normal range.
        for (format, low, unit) in [
            (SixteenBits::Bf16, 1.0, 2f64.powi(-7)),
            (SixteenBits::F16, 1.0, 2f64.powi(-10)),
            (SixteenBits::Bf16, 3.0 * 2f64.powi(-133), 2f64.powi(-133)),
            (SixteenBits::F16, 5.0 * 2f64.powi(-24), 2f64.powi(-24)),
        ] {
            for share in [1u32, 77, 255] {
                let x = low + unit * f64::from(share) / 256.0;
                // Up if draw / 2^24 + share / 256 >= 1.
                let first_up = (256 - share) << 16;
                for sign in [1.0, -1.0] {
                    assert_eq!(format.round(sign * x, first_up - 1), sign * low, "{format:?} {share}");
                    assert_eq!(format.round(sign * x, first_up), sign * (low + unit), "{format:?} {share}");
                }
            }
        }
    }

    #[test]
    fn a_stream_does_not_depend_on_how_it_is_cut() {
        let mut whole = [1.001f32; 64];
        let mut parts = whole;
        SixteenBits::Bf16.round_all(&mut whole, 3, 0);
        let (a, b) = parts.split_at_mut(23);
        SixteenBits::Bf16.round_all(b, 3, 23);
        SixteenBits::Bf16.round_all(a, 3, 0);
        assert_eq!(whole, parts);
        assert!(whole.contains(&1.0) && whole.contains(&1.007_812_5));
    }
}
