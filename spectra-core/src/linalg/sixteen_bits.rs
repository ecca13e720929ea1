//! Numbers of 16 bits, and rounding to them at random.

use super::random::mix;
use crate::backend::Element;

/// A 16-bit type in which weights and buffers of state are kept.
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

    /// The bits of the number of this type nearest to `x`, of two the even one; infinity beyond the largest by half a unit of its last place.
    pub fn to_bits<E: Element>(self, x: E) -> u16 {
        let (precision, smallest, _) = self.form();
        let (value, infinity) = (x.widen(), self.infinity());
        let sign = u16::from(value.is_sign_negative()) << 15;
        if value.is_nan() {
            return sign | infinity | 1 << (precision - 1);
        }
        let magnitude = value.abs();
        let exponent = ((magnitude.to_bits() >> 52) as i32 - 1023).max(smallest);
        let unit = f64::from_bits(((exponent - precision + 1023) as u64) << 52);
        // Exact but for the rounding to a whole number of units, which may carry into the exponent.
        let units = libm::rint(magnitude / unit) as u64;
        let bits = (((exponent - smallest) as u64) << precision).saturating_add(units);
        sign | bits.min(infinity.into()) as u16
    }

    /// The number with these bits; the nearest element, for `f32` and `f64` the number itself.
    pub fn from_bits<E: Element>(self, bits: u16) -> E {
        let (precision, smallest, _) = self.form();
        let (magnitude, infinity) = (bits & 0x7fff, self.infinity());
        let (exponent, fraction) = (i32::from(magnitude >> precision), magnitude & ((1 << precision) - 1));
        let value = if magnitude > infinity {
            f64::NAN
        } else if magnitude == infinity {
            f64::INFINITY
        } else {
            let units = if exponent == 0 { fraction } else { fraction | 1 << precision };
            let unit = (exponent.max(1) - 1 + smallest - precision + 1023) as u64;
            f64::from(units) * f64::from_bits(unit << 52)
        };
        E::narrow(if bits == magnitude { value } else { -value })
    }

    fn infinity(self) -> u16 {
        let (precision, ..) = self.form();
        0x7fff >> precision << precision
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

    /// Every number of a type has its own bits, and what lies between two is the nearer one, at half the even one.
    #[test]
    fn all_bits_and_what_lies_between_them() {
        for format in [SixteenBits::Bf16, SixteenBits::F16] {
            for bits in 0..=u16::MAX {
                let x: f64 = format.from_bits(bits);
                if x.is_nan() {
                    assert!(bits & 0x7fff > format.infinity());
                    assert!(format.from_bits::<f32>(format.to_bits(x)).is_nan());
                    continue;
                }
                assert_eq!((format.to_bits(x), format.to_bits(x as f32)), (bits, bits), "{format:?} {x}");
                let next: f64 = format.from_bits(bits.wrapping_add(1));
                if bits & 0x7fff < format.infinity() && next.is_finite() {
                    let half = x + (next - x) / 2.0;
                    let (even, nearer) = (bits + bits % 2, half - (next - x) * 1e-9);
                    assert_eq!(
                        (format.to_bits(half), format.to_bits(nearer)),
                        (even, bits),
                        "{format:?} {half}"
                    );
                }
            }
            let (_, _, largest) = format.form();
            assert_eq!(format.to_bits(largest * 1.0001), format.to_bits(largest));
            assert_eq!(format.to_bits(-2.0 * largest), format.infinity() | 0x8000);
            assert_eq!(format.to_bits(f64::INFINITY), format.infinity());
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
