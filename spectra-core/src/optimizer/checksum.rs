//! The checksum of saved states, over words of a defined form: tells accidents, not attacks.

use crate::backend::Element;

/// The fraction of the golden ratio, odd.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// A running checksum `h` over 64-bit words `w`: `h = (rotl(h, 23) xor w) FACTOR` modulo 2^64, from `h = FACTOR`.
///
/// Each round is a bijection of `h` and of `w`, so a change of one word, in whichever bits, always changes the sum.
#[derive(Debug, Clone)]
pub struct Checksum(u64);

impl Default for Checksum {
    fn default() -> Self {
        Self::new()
    }
}

impl Checksum {
    /// The sum of nothing.
    pub fn new() -> Self {
        Self(FACTOR)
    }

    /// Adds a word.
    pub fn word(&mut self, word: u64) {
        // Odd factors are invertible modulo 2^64; the rotation brings the high bits back down.
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    }

    /// Adds the number of bytes, then the bytes, eight to a word, lowest first; the last word is filled up with zeros.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    /// Adds the number of values, then the bits of each as an `f64`.
    pub fn values<E: Element>(&mut self, values: &[E]) {
        self.word(values.len() as u64);
        for x in values {
            self.word(x.widen().to_bits());
        }
    }

    /// The sum.
    pub fn finish(&self) -> u64 {
        self.0
    }
}
