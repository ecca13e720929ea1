//! A checksum against accidents: any change of one word changes it, since each round is a bijection.

use crate::backend::CandleElement;

/// A running checksum over 64-bit words.
pub(super) struct Checksum(u64);

impl Checksum {
    pub(super) fn new() -> Self {
        // The fraction of the golden ratio: any start but 0 will do.
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn word(&mut self, word: u64) {
        // Odd factors are invertible modulo 2^64; the rotation brings the high bits back down.
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    pub(super) fn values<E: CandleElement>(&mut self, values: &[E]) {
        self.word(values.len() as u64);
        for x in values {
            self.word(x.widen().to_bits());
        }
    }

    /// Sixteen hexadecimal digits.
    pub(super) fn hex(self) -> String {
        format!("{:016x}", self.0)
    }
}
